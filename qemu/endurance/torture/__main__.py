# SPDX-License-Identifier: GPL-2.0
"""Runs rounds in which many actors work on the driver at once, and checks the state of the
driver and the controller between the rounds.

A seed decides all random choices. It is printed; the same seed gives the same rounds.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from endurance.torture.actors import KINDS
from endurance.torture.leg import Leg, shape_of
from endurance.torture.results import Table
from guest.errors import MachineError
from guest.log import faults
from guest.machine import Machine, boot
from project import BUILD, TOP
from subject.driver import Driver
from subject.inquiry import inquire
from subject.leaks import shorten_scans

ROUNDS = 20
"""The number of rounds after which a machine of another shape replaces the machine."""
_FOLDER = BUILD / "torture"


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {text}", flush=True)


class Torture:
    """Runs rounds, in one machine after the other."""

    def __init__(self, seed: str, names: set[str], table: Table) -> None:
        self._seed = seed
        self._names = names
        self._table = table
        self._number = -1
        self._leg: Leg | None = None
        self.machine: Machine | None = None
        """The present machine."""

    def round(self, number: int) -> None:
        """Runs a round, in the machine for it."""
        if number // ROUNDS != self._number or not self._leg:
            self.end()
            self._number = number // ROUNDS
            self._leg = self._begin()
        self._leg.round(self._seed, number, self._table, say)

    def end(self) -> None:
        """Unloads the driver, checks that it has leaked nothing, and ends the machine."""
        if self._leg:
            self._leg.end()
        self.stop()

    def stop(self) -> None:
        """Ends the machine without any check."""
        machine, self.machine, self._leg = self.machine, None, None
        if machine:
            machine.stop()

    def _begin(self) -> Leg:
        shape = shape_of(self._seed, self._number)
        say("booting a machine with"
            f" {'plain' if shape.plain_ports else 'hot-plug'} ports and"
            f" {'shared' if shape.shared else 'private'} namespaces")
        self.machine = boot(shape)
        shorten_scans(self.machine)
        driver = Driver(self.machine, "nvme_rs")
        driver.load()
        return Leg(self.machine, driver, self._names)


def tell(machine: Machine, path: Path) -> None:
    """Saves the log of a guest in which something went wrong."""
    # From "sysrq: " on, the log has stacks of blocked tasks, which would look like a fault.
    before, _, _ = machine.log.window().partition("sysrq: ")
    if found := faults(before):
        say("the kernel reports:\n" + "\n".join(found[:20]))
    inquire(machine, say)
    path.write_text(machine.log.all())
    say(f"the guest's log is in {path.relative_to(TOP)}")


def torture(seed: str, names: set[str], table: Table, first: int, rounds: int,
            end: float, folder: Path) -> bool:
    """Runs rounds until their number or the time is reached. Returns whether all passed."""
    run = Torture(seed, names, table)
    number = first
    try:
        while number < first + rounds and time.monotonic() < end:
            run.round(number)
            number += 1
        run.end()
        return True
    except MachineError as error:
        say("\n".join([f"round {number} of seed {seed}: {type(error).__name__}: {error}",
                       *getattr(error, "__notes__", [])]))
        if run.machine:
            tell(run.machine, folder / f"{seed}-{number}.log")
        return False
    finally:
        run.stop()


def parse() -> argparse.Namespace:
    names = ",".join(kind.name for kind in KINDS)
    parser = argparse.ArgumentParser(prog="qemu/torture", description=__doc__)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)),
                        help="what decides on all that is done")
    parser.add_argument("--minutes", type=float, default=60,
                        help="begin no round after this time (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1 << 30,
                        help="do no more rounds than this")
    parser.add_argument("--first", type=int, default=0, metavar="ROUND",
                        help="begin with this round (%(default)s)")
    parser.add_argument("--actors", default=names, help="who may take part (%(default)s)")
    parser.add_argument("--no-faults", action="store_true",
                        help="have the driver make up no faults")
    arguments = parser.parse_args()
    arguments.actors = set(arguments.actors.split(","))
    if unknown := arguments.actors - set(names.split(",")):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if arguments.no_faults:
        arguments.actors.discard("timeouts")
    return arguments


def main() -> int:
    arguments = parse()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    table = Table()
    say(f"seed {arguments.seed}")
    try:
        well = torture(arguments.seed, arguments.actors, table, arguments.first,
                       arguments.rounds, START + 60 * arguments.minutes, _FOLDER)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    print(f"\n{table}\n\nseed {arguments.seed}: {'no fault' if well else 'FAILED'}")
    return 0 if well else 1


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
