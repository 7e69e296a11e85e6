# SPDX-License-Identifier: GPL-2.0
"""Who uses a VF, which is why its driver should not leave it."""

import os
import re
from collections.abc import Container

from nvme_sriov.sysfs import Sysfs
from nvme_sriov.virtual import VirtualFunction

_MULTIPATH = re.compile(r"(nvme\d+)c\d+(n\d+)")


def paths(vf: VirtualFunction) -> list[str]:
    """Returns the folders of the block devices that the VF's controller has: with nvme-core's
    multipath, those of the paths."""
    if not vf.controller:
        return []
    sysfs = vf.pf.sysfs
    folder = f"{vf.device}/nvme/{vf.controller}"
    return [f"{folder}/{name}" for name in sysfs.names(folder)
            if re.fullmatch(r"nvme\d+(c\d+)?n\d+", name)]


def user(vf: VirtualFunction) -> str | None:
    """Returns what uses the VF; None if nothing does."""
    if vf.driver == "vfio-pci":
        return _process(vf.pf.sysfs, vf)
    return disk_user(vf)


def disk_user(vf: VirtualFunction, nsids: Container[int] | None = None) -> str | None:
    """Returns what uses a disk of the VF, or one of these of its namespaces; None if nothing
    does."""
    sysfs = vf.pf.sysfs
    for path in paths(vf):
        if nsids is not None and sysfs.number(f"{path}/nsid") not in nsids:
            continue
        name = os.path.basename(path)
        split = _MULTIPATH.fullmatch(name)
        if split:
            if _other_path(sysfs, vf, split):
                continue
            name = split[1] + split[2]
        found = _block_user(sysfs, name)
        if found:
            return found
    return None


def _other_path(sysfs: Sysfs, vf: VirtualFunction, path: re.Match[str]) -> bool:
    """Returns whether the disk has a path through another controller. All paths are in the
    folders of controllers, by names that differ in the controller's number alone."""
    same = re.compile(rf"{path[1]}c\d+{path[2]}")
    return any(same.fullmatch(name)
               for controller in sysfs.names("sys/class/nvme") if controller != vf.controller
               for name in sysfs.names(f"sys/class/nvme/{controller}"))


def _block_user(sysfs: Sysfs, name: str) -> str | None:
    folder = f"sys/class/block/{name}"
    parts = [name, *(part for part in sysfs.names(folder) if part.startswith(f"{name}p"))]
    mounts = _mounts(sysfs)
    swaps = [line.split()[0] for line in (sysfs.read("proc/swaps") or "").splitlines()[1:]]
    for part in parts:
        holders = sysfs.names(f"sys/class/block/{part}/holders")
        if holders:
            return f"{holders[0]} is on /dev/{part}"
        number = sysfs.read(f"sys/class/block/{part}/dev") or ""
        where = mounts.get(number) or mounts.get(f"/dev/{part}")
        if where:
            return f"/dev/{part} is mounted on {where}"
        if f"/dev/{part}" in swaps:
            return f"/dev/{part} is swap space"
    return None


def _mounts(sysfs: Sysfs) -> dict[str, str]:
    """Returns where devices are mounted, by number and by name: file systems of several
    devices have a number of their own."""
    found = {}
    for line in (sysfs.read("proc/self/mountinfo") or "").splitlines():
        fields, _, source = line.partition(" - ")
        words = fields.split()
        found[words[2]] = words[4]
        found[source.split()[1]] = words[4]
    return found


def _process(sysfs: Sysfs, vf: VirtualFunction) -> str | None:
    group = sysfs.target(f"{vf.device}/iommu_group")
    devices = {f"/dev/vfio/{group}"}
    devices |= {f"/dev/vfio/devices/{name}" for name in sysfs.names(f"{vf.device}/vfio-dev")}
    for process in filter(str.isdigit, sysfs.names("proc")):
        folder = f"proc/{process}/fd"
        for name in sysfs.names(folder):
            try:
                opened = os.readlink(sysfs.root / folder / name)
            except OSError:
                continue
            if opened in devices:
                return f"process {process} ({sysfs.read(f'proc/{process}/comm')}) has it"
    return None
