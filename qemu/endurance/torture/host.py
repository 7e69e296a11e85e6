# SPDX-License-Identifier: GPL-2.0
"""The host's operations during a round: it unplugs functions and plugs them in again, and
makes ports report errors."""

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
"""Seconds that an operation may take."""


@dataclass(frozen=True)
class Event:
    """An operation of the host at a given time of a round."""

    at: float
    """Seconds after the begin of the round."""
    actor: Actor
    name: str
    do: Callable[[Machine, int], None]
    """The operation on a physical function, which it gets by its number."""

    def run(self, machine: Machine) -> Operation:
        """Runs the operation, and returns it with its result."""
        begin = time.monotonic()
        self.do(machine, self.actor.index)
        return Operation(self.actor.name, self.name, time.monotonic() - begin, "ok")


def present(machine: Machine, index: int) -> bool:
    """Returns whether a physical function is in its slot."""
    return f'id "nvme{index}"' in machine.hmp("info qtree")


def unplug(machine: Machine, index: int) -> None:
    """Unplugs a function, and waits until it is gone."""
    # Machine.unplug() looks whether the function has VFs, but here that may change at any
    # time.
    machine.lost_functions = True
    machine.qmp.cmd("device_del", id=f"nvme{index}")
    machine.wait_for(lambda: not present(machine, index), f"end of nvme{index}", _LIMIT)


def plug(machine: Machine, index: int) -> None:
    """Plugs a function in again."""
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
    """Makes the port report an error without loss, and waits for the end of the recovery."""
    _report(machine, index, "POISON_TLP")


def fatal_error(machine: Machine, index: int) -> None:
    """Makes the port report a fatal error, after which the kernel resets the link."""
    _report(machine, index, "DLP")


def events(actor: Actor, rng: random.Random, seconds: float) -> list[Event]:
    """Returns the operations of an actor of the host in a round of ``seconds``."""
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
