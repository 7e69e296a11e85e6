# SPDX-License-Identifier: GPL-2.0
"""The drivers of VFs, and their modules."""

import subprocess
from collections.abc import Iterable

from nvme_sriov.failure import Failure
from nvme_sriov.setting import DEFAULT_DRIVER, NO_DRIVER
from nvme_sriov.sysfs import DRIVERS, Sysfs


def missing(sysfs: Sysfs, drivers: Iterable[str | None]) -> list[str]:
    """Returns those of the drivers that are not loaded. Raises if there is no module of one."""
    names = sorted({name for name in drivers if name} - {NO_DRIVER, DEFAULT_DRIVER})
    found = [name for name in names if not sysfs.exists(f"{DRIVERS}/{name}")]
    for name in found:
        # What it would load.
        _modprobe(name, "-D", name)
    return found


def load(sysfs: Sysfs, driver: str) -> None:
    """Loads the module of a driver."""
    _modprobe(driver, driver)
    if not sysfs.exists(f"{DRIVERS}/{driver}"):
        raise Failure(f"there is no PCI driver {driver}, although its module has been loaded")


def _modprobe(driver: str, *arguments: str) -> None:
    try:
        done = subprocess.run(["modprobe", *arguments], stdin=subprocess.DEVNULL, check=False,
                              capture_output=True, text=True)
    except OSError as error:
        raise Failure(f"driver {driver}: modprobe cannot be run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise Failure("; ".join([f"there is no PCI driver {driver}", *said[-1:]]))
