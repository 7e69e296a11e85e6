# SPDX-License-Identifier: GPL-2.0
"""Rounds in one machine, one after the other."""

import random
from collections.abc import Callable

from faults import Faults
from leaks import check_memory, check_references
from machine import Machine, Shape
from nvme import Driver, physical_functions
from torture_actors import Place, actors
from torture_quiet import Quiet
from torture_results import Table
from torture_round import Round, choose, provide

COMMON = Shape(controllers=2, one_subsystem=True, iommu=True, watched_locks=False)
"""What all machines have."""
MOST = 6
"""How many actors work at once, at most."""
SECONDS = 5.0, 15.0
"""How long a round may last."""


class Leg:
    """Actors of some names in a machine, whose driver is loaded."""

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
        """Does a round, and all that comes before and after it."""
        rng = random.Random(f"{seed} round {number}")
        self.quiet.prepare(rng)
        chosen = choose(rng, self.actors, MOST)
        seconds = rng.uniform(*SECONDS)
        say(f"round {number}, {seconds:.0f} s: {' '.join(actor.name for actor in chosen)}")
        this = Round(self._machine, number, chosen, rng, seconds)
        try:
            this.run()
        finally:
            table.operations += this.operations
        self.quiet.restore(this.traits)
        self.quiet.check()
        self.quiet.clean()

    def end(self) -> None:
        """Unloads the driver, of which nothing may be left."""
        check_references(self._machine, self._driver.name)
        self._driver.unload()
        check_memory(self._machine, last=True)
        self.quiet.check_log()
