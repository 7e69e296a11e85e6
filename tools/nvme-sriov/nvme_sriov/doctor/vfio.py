# SPDX-License-Identifier: GPL-2.0
"""Whether vfio-pci takes functions that it should not have.

A device id that was written to vfio-pci's ``new_id``, or is in its parameter ``ids``, has vfio-pci match
every function of that id. The kernel does not show these ids; this looks for where they come from.
"""

import re
from collections.abc import Iterator

from nvme_sriov.doctor.finding import Finding, error, ok, warning
from nvme_sriov.physical import PhysicalFunction
from nvme_sriov.sysfs import DEVICES, DRIVERS, Sysfs

_OPTION = re.compile(r"^\s*options\s+vfio[-_]pci\s.*?\bids=(\S+)", re.MULTILINE)
_PARAMETER = re.compile(r"\bvfio[-_]pci\.ids=(\S+)")
_FOLDERS = ("etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d")
_OVERRIDES = "etc/driverctl.d"


def _parameters(sysfs: Sysfs) -> Iterator[tuple[str, str]]:
    """Yields where ids are given to vfio-pci, and which ones."""
    for listed in _PARAMETER.findall(sysfs.read("proc/cmdline") or ""):
        yield "the kernel's command line", listed
    for folder in _FOLDERS:
        for name in sysfs.names(folder):
            for listed in _OPTION.findall(sysfs.read(f"{folder}/{name}") or ""):
                yield f"/{folder}/{name}", listed


def _id(sysfs: Sysfs, address: str) -> str:
    """Returns vendor and device of a function, as lspci writes them."""
    return ":".join(f"{sysfs.number(f'{DEVICES}/{address}/{name}') or 0:04x}"
                    for name in ("vendor", "device"))


def presence(sysfs: Sysfs) -> Iterator[Finding]:
    """Says that vfio-pci is there, which VFs for virtual machines need."""
    if sysfs.exists(f"{DRIVERS}/vfio-pci"):
        yield ok("vfio-pci", "loaded")
    else:
        yield ok("vfio-pci", "not loaded; it takes nothing")


def vfio(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks for reasons why vfio-pci would take the PF or its VFs."""
    sysfs = pf.sysfs
    mine = {_id(sysfs, pf.address): pf.address}
    for vf in pf.vfs:
        if vf.address:
            mine.setdefault(_id(sysfs, vf.address), vf.address)
    found = list(_named(pf, mine))
    taken = [vf for vf in pf.vfs if vf.driver == "vfio-pci" and vf.override != "vfio-pci"]
    if taken:
        found.append(warning(
            taken[0], "vfio-pci has it without driver_override: it has the id"
            f" {_id(sysfs, str(taken[0].address))}, and takes every function of that id",
            f"echo {_id(sysfs, str(taken[0].address)).replace(':', ' ')} >"
            f" /{DRIVERS}/vfio-pci/remove_id"))
    yield from found or [ok(pf, "nothing gives its id to vfio-pci")]


def _named(pf: PhysicalFunction, mine: dict[str, str]) -> Iterator[Finding]:
    for where, words in _parameters(pf.sysfs):
        for word in words.split(","):
            name = ":".join(word.lower().split(":")[:2])
            if name in mine:
                yield error(mine[name], f"{where} gives vfio-pci the id {name}: it takes every"
                            " function of that id", f"remove {word} there; driver = vfio-pci"
                            " in the file names single VFs")
    for address in pf.sysfs.names(_OVERRIDES):
        name = _id(pf.sysfs, re.sub(r"^pci-", "", address))
        if name in mine and pf.sysfs.read(f"{_OVERRIDES}/{address}") == "vfio-pci":
            yield warning(mine[name], f"/{_OVERRIDES}/{address}: driverctl also gives vfio-pci"
                          f" the id {name}, which takes every function of that id",
                          f"echo {name.replace(':', ' ')} > /{DRIVERS}/vfio-pci/remove_id;"
                          " driver = vfio-pci in the file needs no driverctl")
