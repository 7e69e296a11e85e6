# SPDX-License-Identifier: GPL-2.0
"""Runs rounds with controllers that lie, and checks that the driver comes through each.

A round has a seed, which decides on what its controller does. Seeds follow one another. If a
round is not well, those that went on at the same time are done again one by one, in new
guests, to find its seed.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator

from endurance.hostile.results import Round, Table
from endurance.hostile.run import AT_ONCE, SHAPE, Lie, NotWell, run
from guest.errors import MachineError
from guest.log import faults
from guest.machine import Machine, boot
from project import BUILD, TOP
from subject.driver import Driver
from subject.inquiry import inquire
from subject.leaks import shorten_scans

_FOLDER = BUILD / "hostile"


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {text}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qemu/hostile", description=__doc__)
    parser.add_argument("--first", type=int, default=0, metavar="SEED",
                        help="begin with this seed (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1 << 30, metavar="N",
                        help="do no more rounds than this")
    parser.add_argument("--minutes", type=float, default=60,
                        help="begin no round after this time (%(default)s)")
    parser.add_argument("--driver", default="nvme_rs", choices=("nvme_rs", "nvme"),
                        help="the driver (%(default)s)")
    parser.add_argument("--go-on", action="store_true",
                        help="go on in a new guest after a round that was not well")
    return parser.parse_args()


class Search:
    """Rounds in guests, until one is not well."""

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self.table = Table()
        self.failures: list[str] = []
        """What was not well."""

    def run(self, groups: Iterator[list[int]], go_on: bool) -> None:
        """Runs groups of seeds, those of a group at the same time."""
        while lies := self._attempt(groups):
            before = len(self.failures)
            for lie in lies:
                self._run_alone(lie)
            if len(self.failures) == before:
                self.failures.append(f"seeds {lies[0].seed} to {lies[-1].seed}, but none alone")
            if not go_on:
                return

    def _run_alone(self, lie: Lie) -> None:
        if self._attempt(iter([[lie.seed]])):
            self.failures.append(f"seed {lie.seed}: {lie}")
            self.table.add_failure(lie.names)

    def _attempt(self, groups: Iterator[list[int]]) -> list[Lie]:
        """Runs groups in a new guest. Returns what went on when something was not well."""
        machine = boot(SHAPE)
        try:
            shorten_scans(machine)
            driver = Driver(machine, self._driver)
            driver.load()
            run(machine, driver, lambda: next(groups, []), self._told)
        except NotWell as error:
            self._report(machine, error)
            return error.lies
        except MachineError as error:
            self._report(machine, error)
            self.failures.append(str(error))
        finally:
            machine.stop()
        return []

    def _told(self, lie: Lie, done: Round) -> None:
        self.table.add(lie.names, done)
        longest = max(done.steps, key=lambda step: step.seconds)
        say(f"seed {lie.seed}: {lie}: {done.met} times; {done.end},"
            f" {longest.name} took {longest.seconds:.1f} s")

    def _report(self, machine: Machine, error: MachineError) -> None:
        say("\n".join([str(error), *getattr(error, "__notes__", [])]))
        before, _, _ = machine.log.window().partition("sysrq: ")
        if found := faults(before):
            say("the kernel reports:\n" + "\n".join(found[:20]))
        if machine.alive:
            inquire(machine, say)
        _FOLDER.mkdir(parents=True, exist_ok=True)
        path = _FOLDER / f"guest{len(list(_FOLDER.glob('*.log')))}.log"
        path.write_text(machine.log.all())
        say(f"the guest's log is in {path.relative_to(TOP)}")


def main() -> int:
    arguments = parse()
    seeds = iter(range(arguments.first, arguments.first + arguments.rounds))
    search = Search(arguments.driver)

    def groups() -> Iterator[list[int]]:
        while time.monotonic() < START + 60 * arguments.minutes:
            if not (group := list(itertools.islice(seeds, AT_ONCE))):
                return
            yield group
    search.run(groups(), arguments.go_on)
    print("\n".join(["", str(search.table), "", *search.failures,
                     f"{search.table.rounds} rounds:"
                     f" {'FAILED' if search.failures else 'all well'}"]))
    return 1 if search.failures else 0


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
