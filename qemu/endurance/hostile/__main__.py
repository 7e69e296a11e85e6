# SPDX-License-Identifier: GPL-2.0
"""Runs rounds with controllers that lie, and checks that the driver comes through each.

A round has a seed, which decides on what its controller does. Seeds follow one another.
"""

import argparse
import itertools
import sys
import time

from endurance.hostile.results import Round, Table
from endurance.hostile.run import AT_ONCE, SHAPE, Lie, run
from guest.errors import MachineError
from guest.log import faults
from guest.machine import boot
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
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    seeds = iter(range(arguments.first, arguments.first + arguments.rounds))
    table = Table()

    def more() -> list[int]:
        over = time.monotonic() > START + 60 * arguments.minutes
        return [] if over else list(itertools.islice(seeds, AT_ONCE))

    def told(lie: Lie, done: Round) -> None:
        table.add([rule["name"] for rule in lie.rules], done)
        longest = max(done.steps, key=lambda step: step.seconds)
        say(f"seed {lie.seed}: {lie}: {done.met} times; {done.end},"
            f" {longest.name} took {longest.seconds:.1f} s")

    machine = boot(SHAPE)
    well = False
    try:
        shorten_scans(machine)
        driver = Driver(machine, arguments.driver)
        driver.load()
        run(machine, driver, more, told)
        well = True
    except MachineError as error:
        say("\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]))
        before, _, _ = machine.log.window().partition("sysrq: ")
        if found := faults(before):
            say("the kernel reports:\n" + "\n".join(found[:20]))
        if machine.alive:
            inquire(machine, say)
        path = _FOLDER / "guest.log"
        path.write_text(machine.log.all())
        say(f"the guest's log is in {path.relative_to(TOP)}")
    finally:
        machine.stop()
    print(f"\n{table}\n\n{table.rounds} rounds: {'all well' if well else 'FAILED'}")
    return 0 if well else 1


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
