# SPDX-License-Identifier: GPL-2.0
"""A physical function: an NVMe function with SR-IOV."""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nvme_sriov.failure import Failure, Misuse, is_busy, reason
from nvme_sriov.sysfs import DEVICES, Sysfs
from nvme_sriov.virtual import VirtualFunction

_NVME = 0x010802
_ADDRESS = re.compile(r"([0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]", re.IGNORECASE)
BY_SERIAL = "serial="
_RESET_LIMIT = 60.0
"""Seconds that a reset or error recovery may take."""


class PhysicalFunction:
    """The PF at a PCI address."""

    def __init__(self, sysfs: Sysfs, address: str) -> None:
        self.sysfs = sysfs
        self.address = address
        self.folder = f"{DEVICES}/{address}"

    def __str__(self) -> str:
        return self.address

    @property
    def exists(self) -> bool:
        """Returns whether the function is still there."""
        return self.sysfs.exists(f"{self.folder}/sriov_totalvfs")

    @property
    def driver(self) -> str | None:
        """Returns the name of the bound driver."""
        return self.sysfs.target(f"{self.folder}/driver")

    @property
    def controller(self) -> str | None:
        """Returns the name of nvme-core's controller."""
        names = self.sysfs.names(f"{self.folder}/nvme")
        return names[0] if names else None

    def identity(self, name: str) -> str | None:
        """Returns the controller's ``serial``, ``model`` or the like."""
        return self.sysfs.read(f"{self.folder}/nvme/{self.controller}/{name}")

    @property
    def serial(self) -> str | None:
        """Returns the controller's serial number."""
        return self.identity("serial")

    @property
    def manages(self) -> bool:
        """Returns whether its driver hands out resources and namespaces."""
        return self.sysfs.exists(f"{self.folder}/nvme_sriov")

    @property
    def total(self) -> int:
        """Returns how many VFs there can be."""
        return self.sysfs.number(f"{self.folder}/sriov_totalvfs") or 0

    @property
    def enabled(self) -> int:
        """Returns how many VFs are enabled."""
        return self.sysfs.number(f"{self.folder}/sriov_numvfs") or 0

    @property
    def vfs(self) -> list[VirtualFunction]:
        """Returns all VFs, enabled or not."""
        return [VirtualFunction(self, index) for index in range(self.total)]

    def vf(self, index: int) -> VirtualFunction:
        """Returns a VF. Raises if there cannot be such a one."""
        if not 0 <= index < self.total:
            raise Misuse(f"{self}: there is no VF {index}: the last one is {self.total - 1}")
        return VirtualFunction(self, index)

    def pool(self, kind: str) -> dict[str, int]:
        """Returns the flexible resources of a kind, by the names of their files."""
        folder = f"{self.folder}/nvme_sriov/{kind}"
        return {name: self.sysfs.number(f"{folder}/{name}") or 0
                for name in self.sysfs.names(folder)}

    @property
    def probes(self) -> bool:
        """Returns whether VFs are probed when they are enabled."""
        return self.sysfs.read(f"{self.folder}/sriov_drivers_autoprobe") != "0"

    def enable(self, count: int) -> None:
        """Enables VFs."""
        self._write("sriov_numvfs", str(count), f"{self}: enable {count} VFs")

    def disable(self) -> None:
        """Disables all VFs."""
        self._write("sriov_numvfs", "0", f"{self}: disable VFs")

    @contextmanager
    def autoprobe(self, probes: bool) -> Iterator[None]:
        """Lets VFs get drivers meanwhile, or has those that are enabled meanwhile wait."""
        if self.probes == probes:
            yield
            return
        self._set_autoprobe(probes)
        try:
            yield
        finally:
            self._set_autoprobe(not probes)

    def _set_autoprobe(self, probes: bool) -> None:
        value = "1" if probes else "0"
        self._write("sriov_drivers_autoprobe", value,
                    f"{self}: sriov_drivers_autoprobe {value}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other instances of nvme-sriov from changing the PF meanwhile. Raises if the PF
        is gone by then."""
        try:
            folder = os.open(self.sysfs.root / self.folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Failure(f"{self}: {reason(error)}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not self.exists:
                raise Failure(f"{self}: the function is gone")
            yield
        finally:
            os.close(folder)

    def write(self, path: str, value: str, what: str, names: Iterable[str | None] = ()) -> None:
        """Writes a file of the PF or of a VF, which the kernel log calls ``names``. What is
        refused while the controller recovers is written again after that. Raises Failure."""
        known = [name for name in (self.address, self.controller, *names) if name]
        try:
            self.sysfs.write(path, value, what, known)
        except Failure as failure:
            if not (is_busy(failure) and self._recovers()):
                raise
            self.sysfs.write(path, value, what, known)

    def _recovers(self) -> bool:
        """Returns whether the controller was being reset, and waits until that is over."""
        states = ("resetting", "connecting")
        if self.identity("state") not in states:
            return False
        end = time.monotonic() + _RESET_LIMIT
        while self.identity("state") in states and time.monotonic() < end:
            time.sleep(0.1)
        return True

    def _write(self, name: str, value: str, what: str) -> None:
        self.write(f"{self.folder}/{name}", value, what)


def discover(sysfs: Sysfs) -> list[PhysicalFunction]:
    """Returns every NVMe function with SR-IOV, by address."""
    return [PhysicalFunction(sysfs, address) for address in sysfs.names(DEVICES)
            if sysfs.number(f"{DEVICES}/{address}/class") == _NVME
            and sysfs.number(f"{DEVICES}/{address}/sriov_totalvfs")]


def check_name(name: str) -> None:
    """Raises Misuse unless ``name`` can name a PF."""
    if name.startswith(BY_SERIAL):
        if name == BY_SERIAL:
            raise Misuse("the serial number is missing after 'serial='")
    elif not (_ADDRESS.fullmatch(name) or re.fullmatch(r"(/dev/)?nvme\d+", name)):
        raise Misuse(f"'{name}' is neither a PCI address, nor a controller (nvme0), nor"
                     " 'serial=' and a serial number")


def find(sysfs: Sysfs, name: str) -> PhysicalFunction:
    """Returns the PF that is called ``name``: its address, its controller, or its serial
    number behind ``serial=``."""
    found = candidates(sysfs, name)
    if len(found) > 1:
        raise Failure(f"{name}: several PFs have it: {', '.join(map(str, found))}")
    if not found:
        raise Failure(f"{name}: {_why_not(sysfs, name)}")
    return found[0]


def candidates(sysfs: Sysfs, name: str) -> list[PhysicalFunction]:
    """Returns the PFs that are called ``name``: controllers of one subsystem have the same
    serial number."""
    check_name(name)
    if name.startswith(BY_SERIAL):
        serial = name.removeprefix(BY_SERIAL)
        return [pf for pf in discover(sysfs) if pf.serial == serial]
    wanted = _full(name)
    return [pf for pf in discover(sysfs) if wanted in (pf.address, pf.controller)]


def _full(name: str) -> str:
    """Returns a controller's name, or an address with its domain."""
    name = name.removeprefix("/dev/").lower()
    return f"0000:{name}" if name.count(":") == 1 else name


def _why_not(sysfs: Sysfs, name: str) -> str:
    folder = f"{DEVICES}/{_full(name)}"
    if not sysfs.exists(folder):
        return "there is no such NVMe function with SR-IOV"
    if sysfs.number(f"{folder}/class") != _NVME:
        return "not an NVMe function"
    if sysfs.exists(f"{folder}/physfn"):
        return "a VF; name its physical function"
    return "the function has no SR-IOV"
