# SPDX-License-Identifier: GPL-2.0
"""Compares what I/O costs with nvme-rs and with the kernel's own driver.

Both drivers use the same device of one guest in turn. Documentation/benchmark.rst explains
the figures.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

from benchmark import measures
from benchmark.guest import DRIVERS, Guest
from benchmark.plot import plot
from benchmark.point import named, points, quick
from benchmark.result import Result, complaints, load, save
from benchmark.table import table
from guest.errors import MachineError
from guest.log import faults
from guest.machine import boot
from guest.shape import Shape
from project import BUILD

_FOLDER = BUILD / "bench"


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {text}", flush=True)


def measure(guest: Guest, result: Result, driver: str) -> None:
    """Does one round of a point with one driver. The traced run comes first, so that it
    warms up the caches for the measured one."""
    point = result.point
    guest.use(driver)
    result.add(driver, measures.trace(guest, point))
    by_clock = {"count": measures.count, "time": measures.time}
    result.add(driver, by_clock[point.clock](guest, point))
    guest.check(driver)


def bench(shape: Shape, results: list[Result], rounds: int) -> None:
    """Does all rounds of the points that are measured in a guest of one shape."""
    say(f"booting a guest for {len(results)} points")
    machine = boot(shape)
    try:
        guest = Guest(machine)
        for number in range(rounds):
            for at, result in enumerate(results):
                # The driver that begins alternates, too.
                for driver in DRIVERS[::-1 if (number + at) % 2 else 1]:
                    measure(guest, result, driver)
            say(f"round {number + 1} of {rounds}")
        machine.sync_log()
        if found := faults(machine.log.all()):
            raise MachineError("the kernel reports a fault:\n" + "\n".join(found))
    except MachineError:
        print(machine.log.all(), file=sys.stderr)
        raise
    finally:
        machine.stop()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qemu/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="few points, and one round of them")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="how often each point is measured (3)")
    parser.add_argument("-k", "--points", default="", metavar="WORDS",
                        help="only points whose name has all these words, and none"
                             " of those behind a !")
    parser.add_argument("--list", action="store_true", help="only name the points")
    parser.add_argument("--json", type=Path, default=_FOLDER / "bench.json",
                        help="where the results go, pictures beside them (%(default)s)")
    parser.add_argument("--add", action="store_true",
                        help="keep the other points' results that are there")
    parser.add_argument("--check", action="store_true",
                        help="fail if a ratio is beyond its limit")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    among = quick() if arguments.quick else points()
    results = [Result(point) for point in named(arguments.points, among)]
    if arguments.list or not results:
        print("\n".join(result.point.name for result in results) or "no such point")
        return int(not results)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    try:
        for shape, group in itertools.groupby(results, lambda result: result.point.shape):
            bench(shape, list(group), rounds)
    except MachineError as error:
        print(error, file=sys.stderr)
        return 1

    if arguments.add and arguments.json.exists():
        by_point = {result.point: result for result in load(arguments.json) + results}
        results = [by_point[point] for point in points() if point in by_point]
    save(results, arguments.json)
    print("\n".join(table(results)))
    for path in (arguments.json, *plot(results, arguments.json.parent)):
        say(f"written: {path}")
    found = complaints(results)
    print("\n".join(found))
    return int(arguments.check and bool(found))


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
