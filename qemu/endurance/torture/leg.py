# SPDX-License-Identifier: GPL-2.0
"""A leg: consecutive rounds in one machine."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from endurance.torture.actors import Place, Trait, actors
from endurance.torture.quiet import Quiet
from endurance.torture.results import Table
from endurance.torture.round import Round, choose, provide
from faults.rules import Faults
from guest.kernel import PATIENCE
from guest.machine import Machine
from guest.shape import Shape
from subject.driver import Driver
from subject.functions import physical_functions
from subject.leaks import check_memory, check_references

COMMON = Shape(controllers=2, one_subsystem=True, iommu=True, watched_locks=False)
"""What all shapes have in common."""
MOST = 6
"""The most actors that work at once."""
SECONDS = 5.0, 15.0
"""The least and the most seconds that a round may last."""
_SHORT = 3 * PATIENCE
"""The time limit of commands in rounds that lose some. It is shorter than the time that a task
may be blocked, so that a task that waits for a lost command ends its wait in time."""
_TIMES = {"io": 30, "admin": 60}
"""nvme-core's default time limits of commands, for all other rounds."""


def shape_of(seed: str, leg: int) -> Shape:
    """Returns the shape of the machine for a leg."""
    rng = random.Random(f"{seed} machine {leg}")
    ports, shared = rng.choice(((False, True), (True, True), (False, False), (True, False)))
    return replace(COMMON, plain_ports=ports, shared=shared)


class Leg:
    """The actors of the named kinds in a machine. The driver must be loaded."""

    def __init__(self, machine: Machine, driver: Driver, names: set[str]) -> None:
        self._machine = machine
        self._driver = driver
        provide(machine)
        machine.run("modprobe vfio-pci && modprobe vfio_iommu_type1")
        places = [Place(machine.shape, pf.address, machine.run(
            f"basename $(realpath {pf.sysfs}/..)").out.strip())
            for pf in physical_functions(machine)]
        self.quiet = Quiet(machine, driver, places)
        self.actors = actors(places, names, Faults(machine).available)
        self.quiet.restore(set())

    def round(self, seed: str, number: int, table: Table, say: Callable[[str], None]) -> None:
        """Prepares a round, runs it, and checks the state after it."""
        rng = random.Random(f"{seed} round {number}")
        self.quiet.prepare(rng)
        chosen = choose(rng, self.actors, MOST)
        seconds = rng.uniform(*SECONDS)
        say(f"round {number}, {seconds:.0f} s: {' '.join(actor.name for actor in chosen)}")
        this = Round(self._machine, number, chosen, rng, seconds)
        loses = Trait.LOSES_COMMANDS in this.traits
        if loses:
            self._limit(dict.fromkeys(_TIMES, _SHORT))
        try:
            this.run()
        finally:
            table.operations += this.operations
        self.quiet.restore(this.traits)
        if loses:
            self._limit(_TIMES)
        self.quiet.check()
        if loses:
            self.quiet.use_all_vfs()
        self.quiet.clean()

    def _limit(self, times: Mapping[str, float]) -> None:
        """Sets the time limits of commands for all controllers, present and future."""
        for kind, seconds in times.items():
            self._machine.run(f"""
                echo {seconds:.0f} > /sys/module/nvme_core/parameters/{kind}_timeout || exit
                for limit in /sys/class/nvme/nvme*/{kind}_timeout; do
                    echo {1000 * seconds:.0f} > $limit || exit
                done""")

    def end(self) -> None:
        """Unloads the driver, and checks that it has leaked nothing."""
        check_references(self._machine, self._driver.name)
        self._driver.unload()
        check_memory(self._machine, last=True)
        self.quiet.check_log()
