# SPDX-License-Identifier: GPL-2.0
"""The state of a soak, and its execution."""

import dataclasses
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from endurance.soak.cycles import Cycles
from endurance.soak.levels import Levels, grown, measure
from guest.errors import MachineError
from guest.log import faults
from guest.machine import Machine
from subject.driver import Driver
from subject.leaks import check_memory, check_references

CHECKPOINT = 25
"""The number of cycles between two comparisons of the levels."""
_WARM_UP = 3
"""The number of cycles in a guest before its first levels are measured, as caches fill and
pools grow at first."""

_ATTEMPTS = 3
"""How often levels are measured before they count as grown: on a busy host, memory may be
freed late."""


@dataclass
class Leg:
    """A stretch of cycles of one phase in one guest, between two measurements."""

    first: int
    """The number of earlier cycles of the phase."""
    start: Levels
    end: Levels | None = None
    cycles: int = 0
    """The number of cycles before ``end`` was measured."""


@dataclass
class Phase:
    """Many cycles of one kind."""

    name: str
    """The name of a method of Cycles."""
    total: int
    done: int = 0
    seconds: float = 0.0
    legs: list[Leg] = field(default_factory=list)


@dataclass
class State:
    """The whole state of a soak. It is written to a file after each cycle."""

    seed: int
    phases: list[Phase]
    faults: list[str] = field(default_factory=list)
    """The reason of each time that a guest was given up."""
    finished: bool = False

    @classmethod
    def new(cls, seed: int, cycles: dict[str, int]) -> "State":
        """Returns a new soak with the number of cycles for each kind."""
        return cls(seed, [Phase(name, total) for name, total in cycles.items()])

    @classmethod
    def load(cls, path: Path) -> "State":
        """Returns the soak that was saved in ``path``."""
        read = json.loads(path.read_text())
        return cls(read["seed"], [
            Phase(**phase | {"legs": [_leg(leg) for leg in phase["legs"]]})
            for phase in read["phases"]
        ], read["faults"], read["finished"])

    def save(self, path: Path) -> None:
        """Saves the soak in ``path``, and replaces the file atomically."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        os.replace(part, path)


def _leg(read: dict[str, object]) -> Leg:
    levels = {name: Levels(**read[name]) if read[name] else None  # type: ignore
              for name in ("start", "end")}
    return Leg(**read | levels)     # type: ignore


def rng_of(seed: int, phase: Phase) -> random.Random:
    """Returns the random numbers for the next cycle of ``phase``, the same every time."""
    return random.Random(f"{seed} {phase.name} {phase.done}")


def soak(machine: Machine, driver: Driver, state: State, path: Path,
         say: Callable[[str], None]) -> None:
    """Does the rest of a soak in this guest. Raises if the kernel reports a fault."""
    cycles = Cycles(machine, driver)
    for phase in state.phases:
        if phase.done < phase.total:
            _run(machine, cycles, state, phase, path, say)
    check_references(machine, driver.name)
    driver.unload()
    check_memory(machine, last=True)
    _check_log(machine)
    state.finished = True
    state.save(path)


def _run(machine: Machine, cycles: Cycles, state: State, phase: Phase,
         path: Path, say: Callable[[str], None]) -> None:
    cycle = cycles.by_name(phase.name)
    leg: Leg | None = None
    warm = min(phase.done + _WARM_UP, phase.total - 1)
    began, before = time.monotonic(), phase.done
    while phase.done < phase.total:
        if leg is None and phase.done >= warm:
            leg = Leg(phase.done, _measure(machine, cycles))
            phase.legs.append(leg)
        then = time.monotonic()
        last = phase.done + 1 == phase.total
        try:
            cycle(rng_of(state.seed, phase))
            if found := faults(machine.log.window()):
                raise MachineError("the kernel reports a fault:\n" + "\n".join(found))
            phase.done += 1
            phase.seconds += time.monotonic() - then
            if leg and (last or phase.done % CHECKPOINT == 0):
                _check_log(machine)
                leg.cycles = phase.done - leg.first
                leg.end = _compare(machine, cycles, leg)
        except MachineError as error:
            error.add_note(f"{phase.name}, {phase.done} cycles done, seed {state.seed}")
            raise
        state.save(path)
        if last or phase.done % CHECKPOINT == 0:
            each = (time.monotonic() - began) / (phase.done - before)
            say(f"{phase.name} {phase.done}/{phase.total}, {each:.1f} s each,"
                f" {each * (phase.total - phase.done) / 60:.0f} min to go")


def _measure(machine: Machine, cycles: Cycles) -> Levels:
    cycles.rest()
    return measure(machine, cycles.driver, cycles.pf)


def _compare(machine: Machine, cycles: Cycles, leg: Leg) -> Levels:
    """Returns the levels after ``leg``; raises if they have grown."""
    for _ in range(_ATTEMPTS):
        levels = _measure(machine, cycles)
        if not (found := grown(leg.start, levels, leg.cycles)):
            return levels
    raise MachineError(f"after {leg.cycles} cycles, there is more than before:\n"
                       + "\n".join(found))


def _check_log(machine: Machine) -> None:
    machine.sync_log()
    if found := faults(machine.log.window()):
        raise MachineError("the kernel reports a fault:\n" + "\n".join(found))
    machine.log.close_window()
