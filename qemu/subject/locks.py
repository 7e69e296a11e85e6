# SPDX-License-Identifier: GPL-2.0
"""What the debug kernel is told of locks."""

from guest.image import DEBUG_MODULES, IN_GUEST
from guest.machine import Machine

_CLASSES = DEBUG_MODULES / "lock_classes.ko"


def classify_locks(machine: Machine) -> None:
    """Has lockdep check the device locks of NVMe functions, before there are VFs."""
    if _CLASSES.exists() and machine.shape.watched_locks:
        machine.run(f"insmod {IN_GUEST / _CLASSES.name}")
