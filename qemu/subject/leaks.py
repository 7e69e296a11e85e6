# SPDX-License-Identifier: GPL-2.0
"""Leaks of the driver: memory, DMA mappings, references to its module.

Only a debug kernel reports the first two; on another kernel these checks pass.
"""

import re
import time

from guest.errors import MachineError
from guest.image import DEBUG_MODULES, IN_GUEST
from guest.machine import Machine

_KMEMLEAK = "/sys/kernel/debug/kmemleak"
_DMA = "/sys/kernel/debug/dma-api/dump"
_SKIP = DEBUG_MODULES / "kmemleak_skip.ko"
_SCAN = "pci_scan_single_device"
"""The call stack of each allocation that belongs to a physical function has this name."""
_MIN_AGE = 6.0
"""The age in seconds at which kmemleak reports an object; the kernel's value is 5."""


class Leak(MachineError):
    """The driver has leaked a resource."""


def shorten_scans(machine: Machine) -> None:
    """Excludes memory that cannot hold pointers to allocations from kmemleak's scans."""
    if _SKIP.exists() and _available(machine, _KMEMLEAK):
        machine.run("insmod {} stack_table=0x$(sed -n 's/ b stack_table$//p' /proc/kallsyms)"
                    .format(IN_GUEST / _SKIP.name))


def watches_mappings(machine: Machine) -> bool:
    """Returns whether the kernel lists the DMA mappings of devices."""
    return _available(machine, _DMA)


def forget_memory(machine: Machine) -> None:
    """Makes kmemleak forget the leaks that it has reported."""
    if _available(machine, _KMEMLEAK):
        machine.run(f"echo clear > {_KMEMLEAK}")


def check_memory(machine: Machine, last: bool = False) -> None:
    """Raises if kmemleak reports a leak.

    An object that is younger than _MIN_AGE, or scanned for the first time, is left for the
    next check, unless this one is the last.
    """
    if not _available(machine, _KMEMLEAK):
        return
    if last:
        # kmemleak reports no object that was never scanned, or has changed since.
        _lost_memory(machine)
        time.sleep(_MIN_AGE)
    if not _lost_memory(machine):
        return
    # The only pointer may have been moved during the scan.
    time.sleep(_MIN_AGE)
    if lost := _lost_memory(machine):
        raise Leak(f"kmemleak reports:\n{lost}")


def check_mappings(machine: Machine, addresses: list[str]) -> None:
    """Raises if DMA memory is mapped for one of the functions, which have no driver."""
    if not addresses or not watches_mappings(machine):
        return
    pattern = re.compile("|".join(map(re.escape, addresses)))
    left = [line for line in machine.run(f"cat {_DMA}").out.splitlines()
            if pattern.search(line)]
    if left:
        raise Leak("DMA memory is still mapped:\n" + "\n".join(left))


def check_references(machine: Machine, module: str) -> None:
    """Raises if the module's reference count is not 0."""
    path = f"/sys/module/{module}/refcnt"
    users = machine.read(path)
    if users != "0":
        # A process that has ended may drop its last file a moment later.
        time.sleep(1)
        users = machine.read(path)
    if users != "0":
        raise Leak(f"{module} has {users} users")


def _available(machine: Machine, path: str) -> bool:
    return not machine.run(f"test -e {path}", check=False).rc


def _lost_memory(machine: Machine) -> str:
    machine.run(f"echo scan > {_KMEMLEAK}", timeout=120)
    reports = re.split("^(?=unreferenced object)",
                       machine.run(f"cat {_KMEMLEAK}").out, flags=re.MULTILINE)
    return "".join(report for report in reports
                   if not (machine.lost_functions and _SCAN in report))
