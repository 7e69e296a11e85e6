# SPDX-License-Identifier: GPL-2.0
"""Lock classes for lockdep on the debug kernel."""

from guest.image import DEBUG_MODULES, IN_GUEST
from guest.machine import Machine

_CLASSES = DEBUG_MODULES / "lock_classes.ko"


def classify_locks(machine: Machine) -> None:
    """Makes lockdep check the device locks of NVMe functions. There must be no VFs yet."""
    if _CLASSES.exists() and machine.shape.watched_locks:
        machine.run(f"insmod {IN_GUEST / _CLASSES.name}")
