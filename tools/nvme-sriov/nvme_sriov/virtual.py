# SPDX-License-Identifier: GPL-2.0
"""A virtual function, enabled or not."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from nvme_sriov.failure import Failure
from nvme_sriov.setting import Setting
from nvme_sriov.sysfs import DEVICES, DRIVERS, Sysfs


class Parent(Protocol):
    """What a VF wants of its PF."""

    sysfs: Sysfs
    address: str
    folder: str
    manages: bool

    def write(self, path: str, value: str, what: str, names: Iterable[str | None]) -> None:
        """Writes a file of the VF, which the kernel log calls ``names``."""

    def autoprobe(self, probes: bool) -> AbstractContextManager[None]:
        """Lets VFs get drivers meanwhile, or has those that are enabled meanwhile wait."""


class VirtualFunction:
    """VF ``index`` of a PF, from 0."""

    def __init__(self, pf: Parent, index: int) -> None:
        self.pf = pf
        self.index = index
        self._sysfs = pf.sysfs
        self._folder = f"{pf.folder}/nvme_sriov/vf{index}"

    def __str__(self) -> str:
        return f"{self.pf.address} vf{self.index}"

    @property
    def address(self) -> str | None:
        """Returns the PCI address, if the VF is enabled."""
        return self._sysfs.target(f"{self.pf.folder}/virtfn{self.index}")

    @property
    def device(self) -> str:
        """Returns the folder of the PCI device. Raises if the VF is not enabled."""
        if self.address is None:
            raise Failure(f"{self}: not enabled")
        return f"{DEVICES}/{self.address}"

    @property
    def driver(self) -> str | None:
        """Returns the name of the bound driver."""
        return self._sysfs.target(f"{self.device}/driver") if self.address else None

    @property
    def override(self) -> str:
        """Returns the driver that alone may bind; empty if any may."""
        found = self._sysfs.read(f"{self.device}/driver_override") if self.address else ""
        return "" if found in (None, "(null)") else found

    @property
    def reservation(self) -> str | None:
        """Returns the driver that the VF has, or waits for, by driver_override."""
        return (self.driver or self.override) if self.override else None

    @property
    def controller(self) -> str | None:
        """Returns the name of nvme-core's controller, if there is one."""
        names = self._sysfs.names(f"{self.device}/nvme") if self.address else []
        return names[0] if names else None

    def attribute(self, name: str) -> str | None:
        """Returns one of the files in the VF's folder; None if it cannot be read."""
        return self._sysfs.read(f"{self._folder}/{name}")

    def number(self, name: str) -> int | None:
        """Returns the number in one of these files."""
        return self._sysfs.number(f"{self._folder}/{name}")

    def numbers(self, name: str) -> tuple[int, ...]:
        """Returns the list of numbers in one of these files."""
        return tuple(map(int, (self.attribute(name) or "").split()))

    @property
    def setting(self) -> Setting:
        """Returns what the VF is to have; without a driver."""
        return Setting(self.number("queues") or 0, self.number("interrupts") or 0,
                       self.numbers("namespaces"))

    def set(self, name: str, words: str) -> None:
        """Sets queues, interrupts or namespaces."""
        self._write(f"{self._folder}/{name}", words,
                    f"{self}: {name} {words or 'none'}")

    def unbind(self) -> None:
        """Unbinds the driver, if there is one."""
        if self.driver:
            self._write(f"{self.device}/driver/unbind", str(self.address),
                        f"{self}: unbind {self.driver}")

    def reserve(self, driver: str) -> None:
        """Lets only ``driver`` bind; any, if the name is empty."""
        if driver != self.override:
            self._write(f"{self.device}/driver_override", driver,
                        f"{self}: driver_override {driver or 'none'}")

    def probe(self) -> None:
        """Has the PCI core look for a driver, and waits until it is bound."""
        with self.pf.autoprobe(True):
            self._write("sys/bus/pci/drivers_probe", str(self.address), f"{self}: probe")

    def bind(self, driver: str) -> None:
        """Has ``driver`` bind."""
        with self.pf.autoprobe(True):
            self._write(f"{DRIVERS}/{driver}/bind", str(self.address),
                        f"{self}: bind {driver}")

    def _write(self, path: str, value: str, what: str) -> None:
        self.pf.write(path, value, what, (self.address, self.controller))
