# SPDX-License-Identifier: GPL-2.0
"""What the host does while a round lasts: it pulls functions out of their slots and puts
them back, and has ports report errors."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from endurance.torture.actors import Actor
from endurance.torture.results import Operation, Wrong
from guest.errors import MachineError
from guest.machine import Machine

_RECOVERED = re.compile(r"device recovery (successful|failed)")
_LIMIT = 60
"""Seconds for each of these."""


@dataclass(frozen=True)
class Event:
    """Something that the host does at some time of a round."""

    at: float
    """Seconds after its begin."""
    actor: Actor
    name: str
    do: Callable[[Machine, int], None]
    """Does it to a physical function, by its number."""

    def run(self, machine: Machine) -> Operation:
        """Does it, and returns what came of it."""
        begin = time.monotonic()
        self.do(machine, self.actor.index)
        return Operation(self.actor.name, self.name, time.monotonic() - begin, "ok")


def present(machine: Machine, index: int) -> bool:
    """Whether a physical function is in its slot."""
    return f'id "nvme{index}"' in machine.hmp("info qtree")


def unplug(machine: Machine, index: int) -> None:
    """Pulls a function out, and waits until it is gone."""
    # See Machine.unplug(), which asks whether it has VFs: that may change right now.
    machine.lost_functions = True
    machine.qmp.cmd("device_del", id=f"nvme{index}")
    machine.wait_for(lambda: not present(machine, index), f"end of nvme{index}", _LIMIT)


def plug(machine: Machine, index: int) -> None:
    """Puts it back."""
    machine.plug(index)


def _report(machine: Machine, index: int, error: str) -> None:
    before = len(_RECOVERED.findall(machine.log.window()))
    said = machine.hmp(f"pcie_aer_inject_error port{index} {error}").strip()
    if said and not said.startswith("OK"):
        raise MachineError(said)
    machine.wait_for(lambda: len(_RECOVERED.findall(machine.log.window())) > before,
                     f"end of the recovery from {error}", _LIMIT)
    if _RECOVERED.findall(machine.log.window())[-1] == "failed":
        raise Wrong(f"the recovery from {error} failed")


def error(machine: Machine, index: int) -> None:
    """Reports an error that loses nothing, and waits for the end of the recovery."""
    _report(machine, index, "POISON_TLP")


def fatal_error(machine: Machine, index: int) -> None:
    """Reports one for which the link is reset."""
    _report(machine, index, "DLP")


def events(actor: Actor, rng: random.Random, seconds: float) -> list[Event]:
    """Returns what an actor of the host does in a round of so many seconds."""
    found = []
    at = rng.uniform(0.5, 2.0)
    while at < seconds:
        match actor.kind.name:
            case "hotplug":
                found.append(Event(at, actor, "unplug", unplug))
                at += rng.uniform(0.5, 2.0)
                found.append(Event(at, actor, "plug", plug))
                at += rng.uniform(1.0, 4.0)
            case "errors":
                found.append(Event(at, actor, "error", error))
                at += rng.uniform(0.2, 3.0)
            case "fatal_errors":
                found.append(Event(at, actor, "fatal_error", fatal_error))
                at += rng.uniform(1.0, 5.0)
    return found
