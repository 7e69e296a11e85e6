# SPDX-License-Identifier: GPL-2.0
"""Rounds with controllers that lie."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from endurance.hostile.results import Round, Step, parse
from guest.architecture import ARCHITECTURE
from guest.device import Device, settings
from guest.errors import MachineError
from guest.kernel import PATIENCE
from guest.log import faults
from guest.machine import Machine
from guest.shape import Shape
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio
from subject.leaks import check_memory

AT_ONCE = 6
"""How many controllers lie at once. Most of a round is waiting for time limits."""
SHAPE = Shape(cpus=2, vfs=0, namespaces=0, io_queues=2, iommu=ARCHITECTURE.notifies,
              devices=tuple(settings(serial=f"device-{number}") for number in range(AT_ONCE)))
LIMIT = 2
"""Seconds after which a command times out, in rounds."""
LONGEST = 90
"""The most seconds that a step may take: some commands in a row that each time out."""
UNNOTICED = 15
"""The most seconds that a read of the other disk may take. It waits for the CPUs, not for the
controllers that lie."""
_SCRIPT = "/root/hostile"
_PARAMETERS = "/sys/module/nvme_core/parameters"


class Wrong(MachineError):
    """The driver did not come through a round."""


@dataclass(frozen=True)
class Lie:
    """What a controller does in a round."""

    seed: int
    rules: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        """Returns the names of the rules."""
        return [rule["name"] for rule in self.rules]

    def __str__(self) -> str:
        return ", ".join(self.names)


class NotWell(MachineError):
    """One of the rounds that went on at the same time was not well."""

    def __init__(self, lies: list[Lie], reason: MachineError) -> None:
        super().__init__(f"{type(reason).__name__}: {reason}")
        self.lies = lies
        """What the controllers did."""


class Hostile:
    """A machine with controllers that lie, and another one. The driver must be loaded."""

    def __init__(self, machine: Machine, driver: Driver) -> None:
        self._machine = machine
        self._driver = driver
        other, *functions = physical_functions(machine)
        self._liars: list[tuple[Device, PhysicalFunction]] = list(
            zip(machine.devices, functions, strict=True))
        for _, function in self._liars:
            if function.driver:
                function.unbind()
        machine.run(f"cd {_PARAMETERS}; echo {LIMIT * PATIENCE:.0f} > io_timeout;"
                    f" echo {LIMIT * PATIENCE:.0f} > admin_timeout")
        machine.put(_SCRIPT, Path(__file__).with_name("guest.sh").read_bytes())
        self._other = disk(machine, other.live(), 1)
        self.lies: list[Lie] = []
        """What the controllers did in the last rounds."""

    def rounds(self, seeds: list[int]) -> list[tuple[Lie, Round]]:
        """Has a controller lie for each seed, at the same time, and checks what becomes of all."""
        used = self._liars[:len(seeds)]
        self.lies = []
        for seed, (device, _) in zip(seeds, used, strict=True):
            device.make_sane()
            self.lies.append(Lie(seed, device.add_seed(seed)))
        addresses = " ".join(function.address for _, function in used)
        beside, rounds = parse(self._machine.run(
            f"sh {_SCRIPT} {self._driver.name} {self._other} {addresses}", 900).out)
        done = [replace(rounds[function.address], met=device.met()) for device, function in used]
        self._check(beside, done)
        for device, function in used:
            self._check_sane(device, function)
        self._machine.log.close_window()
        return list(zip(self.lies, done, strict=True))

    def end(self) -> None:
        """Unloads the driver, and checks that it has leaked nothing."""
        self._driver.unload()
        check_memory(self._machine, last=True)

    def _check(self, beside: list[Step], done: list[Round]) -> None:
        self._machine.sync_log()
        if found := faults(self._machine.log.window()):
            raise Wrong("the kernel reports:\n" + "\n".join(found[:20]))
        if any(read.result != "0" for read in beside):
            raise Wrong("reads of the other disk failed")
        slowest = max(read.seconds for read in beside)
        if slowest > UNNOTICED * PATIENCE:
            raise Wrong(f"a read of the other disk took {slowest:.1f} s")
        for this in done:
            for step in this.steps:
                if step.seconds > LONGEST * PATIENCE:
                    raise Wrong(f"{step.name} took {step.seconds:.1f} s")
            if this.of("unbind").result != "0":
                raise Wrong("the driver cannot be unbound")

    def _check_sane(self, device: Device, function: PhysicalFunction) -> None:
        """Checks that a controller serves I/O when it no longer lies."""
        device.make_sane()
        if errno := function.bind(self._driver.name):
            raise Wrong(f"cannot be bound when it is sane: errno {errno}")
        fio(self._machine, disk(self._machine, function.live(), 1), size="64k")
        function.unbind()
        if found := device.violations():
            raise Wrong("\n".join(found[:20]))


def run(machine: Machine, driver: Driver, more: Callable[[], list[int]],
        told: Callable[[Lie, Round], None]) -> None:
    """Runs rounds for seeds until there are no more, and tells of each.

    Raises NotWell if a round is not well, and another MachineError if memory is leaked.
    """
    hostile = Hostile(machine, driver)
    try:
        while seeds := more():
            for lie, done in hostile.rounds(seeds):
                told(lie, done)
    except MachineError as error:
        raise NotWell(hostile.lies, error) from error
    hostile.end()
