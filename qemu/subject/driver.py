# SPDX-License-Identifier: GPL-2.0
"""The driver under test, as a module of the kernel."""

from collections.abc import Iterator
from contextlib import contextmanager

from guest.image import MODULE_IN_GUEST
from guest.machine import Machine
from subject.functions import physical_functions
from subject.leaks import check_mappings


class Driver:
    """The driver under test; ``nvme`` is the kernel's own, for comparison."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self.name = name
        """The name of the module and of its PCI driver."""

    def load(self, parameters: str = "") -> None:
        """Loads the module."""
        if self.name == "nvme_rs":
            self._machine.run("modprobe nvme-core")
            self._machine.run(f"insmod {MODULE_IN_GUEST} {parameters}")
        else:
            self._machine.run(f"modprobe {self.name} {parameters}")

    def unload(self) -> None:
        """Removes the module, and raises if a DMA mapping is left."""
        self._machine.run(f"rmmod {self.name}")
        check_mappings(self._machine, [
            function.address for function in physical_functions(self._machine)])

    @property
    def loaded(self) -> bool:
        """Returns whether the module is loaded."""
        return not self._machine.run(
            f"test -d /sys/module/{self.name}", check=False).rc


@contextmanager
def nvme_core(machine: Machine, driver: Driver, parameters: str) -> Iterator[None]:
    """Loads nvme-core with parameters, and the driver with it."""
    def reload(parameters: str) -> None:
        driver.unload()
        machine.run(f"rmmod nvme-core && modprobe nvme-core {parameters}")
        driver.load()
    reload(parameters)
    yield
    reload("")
