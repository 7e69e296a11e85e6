# SPDX-License-Identifier: GPL-2.0
"""Shows in which functions the instructions of an I/O are, with nvme-rs and with the kernel's own
driver. Documentation/benchmark.rst explains the figures.
"""

import argparse
import itertools
import json
import os
import sys
from pathlib import Path
from statistics import median_low
from typing import Any

from benchmark import measures
from benchmark.build import inlined
from benchmark.guest import DRIVERS, Guest
from benchmark.point import Point, named, points
from benchmark.profile import recorded
from benchmark.profile.plot import plot
from benchmark.profile.profile import Part, Profile, part
from benchmark.profile.table import table
from guest.errors import MachineError
from guest.machine import boot
from guest.shape import Shape
from project import BUILD

_FOLDER = BUILD / "profile"
_DEFAULT = "4k 1x32-batch16 randread !shadow"

Profiles = dict[Point, dict[str, Profile]]


def measure(shape: Shape, group: list[Point], drivers: tuple[str, ...], rounds: int) -> Profiles:
    """Returns the profiles of points whose guest is of one shape. Of several rounds, it is the
    one with the median of own text."""
    machine = boot(shape)
    try:
        guest = Guest(machine)
        found: Profiles = {point: {} for point in group}
        for driver in drivers:
            guest.use(driver)
            for point in group:
                measures.warm_up(guest, point)
                taken = [measures.profile(guest, point) for _ in range(rounds)]
                own = median_low(profile.own for profile in taken)
                found[point][driver] = next(one for one in taken if one.own == own)
                guest.check(driver)
        return found
    except MachineError:
        print(machine.log.all(), file=sys.stderr)
        raise
    finally:
        machine.stop()


def as_json(profile: Profile) -> dict[str, Any]:
    """Returns a profile as JSON has it."""
    return {
        "instructions": profile.instructions, "own": profile.own,
        "parts": {one.value: profile.sum(one) for one in Part},
        "functions": [
            {"name": function.name, "module": function.module, "part": part(function).value,
             "instructions": cost.instructions, "calls": cost.calls}
            for function, cost in sorted(profile.costs.items(),
                                         key=lambda pair: -pair[1].instructions)],
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qemu/profile", description=__doc__)
    parser.add_argument("-k", "--points", default=_DEFAULT, metavar="WORDS",
                        help="the points whose name has all these words, and none of those"
                             " behind a ! (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N",
                        help="how often each point is measured (1); the median is shown")
    parser.add_argument("--all", action="store_true",
                        help="show all functions of the kernel, not only those that differ")
    parser.add_argument("--folder", type=Path, default=_FOLDER,
                        help="where table, JSON and pictures go (%(default)s)")
    parser.add_argument("--check", action="store_true",
                        help="instead compare nvme-rs's own text with what is recorded, at a few"
                             " points")
    parser.add_argument("--record", action="store_true", help="record it")
    return parser.parse_args()


def write(found: Profiles, folder: Path, everything: bool) -> None:
    """Prints the tables, and writes all files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join("\n".join(table(point.name, profiles, everything))
                       for point, profiles in found.items())
    print(text)
    (folder / "profile.txt").write_text(text + "\n")
    (folder / "profile.json").write_text(json.dumps({
        "kernel": os.environ["NVME_RS_ABI"], "inlined": inlined(),
        "points": {point.name: {driver: as_json(profile) for driver, profile in drivers.items()}
                   for point, drivers in found.items()},
    }, indent=1) + "\n")
    for point, profiles in found.items():
        path = folder / f"{point.name.partition(':')[2]}.svg"
        plot(point.name, profiles, path)
        print(f"written: {path}")


def main() -> int:
    arguments = parse()
    of_record = arguments.check or arguments.record
    chosen = recorded.POINTS if of_record else named(
        arguments.points, [point for point in points() if point.clock == "count"])
    if not chosen:
        print("no such point")
        return 1
    found: Profiles = {}
    try:
        for shape, group in itertools.groupby(chosen, lambda point: point.shape):
            found |= measure(shape, list(group), DRIVERS[1:] if of_record else DRIVERS,
                             arguments.rounds)
    except MachineError as error:
        print(error, file=sys.stderr)
        return 1
    if not of_record:
        write(found, arguments.folder, arguments.all)
        return 0
    own = {point: drivers[DRIVERS[1]].own for point, drivers in found.items()}
    if arguments.record:
        recorded.record(own)
        return 0
    for point, value in own.items():
        print(f"{point.name}: {value:.1f} instructions for each I/O,"
              f" {recorded.figure(point):.1f} recorded")
    complaints = recorded.complaints(own)
    print("\n".join(complaints))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
