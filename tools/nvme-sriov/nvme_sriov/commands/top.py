# SPDX-License-Identifier: GPL-2.0
"""``top``: what each VF does, by the statistics of its block devices."""

import argparse
import itertools
import sys
import time
from dataclasses import dataclass

from nvme_sriov.commands.common import (
    add_devices, add_json, devices, optional_number, print_json)
from nvme_sriov.failure import Misuse
from nvme_sriov.sysfs import Sysfs
from nvme_sriov.use import paths
from nvme_sriov.virtual import VirtualFunction

_ROW = "{:<13} {:<5} {:<10} {:<9} {:>9} {:>9} {:>11} {:>11} {:>9}"
_CLEAR = "\033[H\033[J"
_SECTOR = 512


@dataclass(frozen=True)
class Counts:
    """What the block devices of a VF have done, and the commands in flight."""

    reads: int = 0
    read_sectors: int = 0
    writes: int = 0
    written_sectors: int = 0
    in_flight: int = 0


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_devices(parser)
    parser.add_argument("-d", "--delay", default="2", metavar="SECONDS",
                        help="the time that each table is about; default: %(default)s")
    parser.add_argument("-n", "--iterations", default=None, metavar="COUNT",
                        help="how many tables; default: until interrupted")
    add_json(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Prints one table after the other."""
    delay = _delay(args.delay)
    tables = optional_number(args.iterations)
    if tables == 0:
        raise Misuse("'0' iterations print nothing")
    pfs = devices(sysfs, args.device)
    vfs = [vf for pf in pfs for vf in pf.vfs]
    before, began = {str(vf): count(vf) for vf in vfs}, time.monotonic()
    for _ in itertools.count() if tables is None else range(tables):
        time.sleep(delay)
        after, ended = {str(vf): count(vf) for vf in vfs}, time.monotonic()
        rows = [(vf, _rates(before[str(vf)], after[str(vf)], ended - began))
                for vf in vfs if vf.address]
        _print(rows, args.format == "json")
        before, began = after, ended
    return 0


def _delay(words: str) -> float:
    try:
        delay = float(words)
    except ValueError as error:
        raise Misuse(f"'{words}' is not a number of seconds") from error
    if not 0.01 <= delay <= 86400:
        raise Misuse(f"{words} seconds: 0.01 to 86400 are possible")
    return delay


def count(vf: VirtualFunction) -> Counts | None:
    """Returns the sum of the VF's block devices; None if no host driver has the VF."""
    if vf.controller is None:
        return None
    total = Counts()
    for path in paths(vf):
        fields = list(map(int, (vf.pf.sysfs.read(f"{path}/stat") or "").split()))
        if len(fields) >= 9:
            total = Counts(total.reads + fields[0], total.read_sectors + fields[2],
                           total.writes + fields[4], total.written_sectors + fields[6],
                           total.in_flight + fields[8])
    return total


def _rates(before: Counts | None, after: Counts | None,
           seconds: float) -> dict[str, float] | None:
    """Returns what was done in a second. A controller that is new counts from 0."""
    if after is None:
        return None
    start = before or Counts()

    def rate(name: str) -> float:
        # Counts of a disk that is gone are gone, too.
        return max(getattr(after, name) - getattr(start, name), 0) / seconds
    return {
        "reads": rate("reads"), "writes": rate("writes"),
        "read_bytes": rate("read_sectors") * _SECTOR,
        "written_bytes": rate("written_sectors") * _SECTOR,
        "in_flight": after.in_flight,
    }


def _print(rows: list[tuple[VirtualFunction, dict[str, float] | None]], json: bool) -> None:
    if json:
        print_json({"vfs": [
            {"pf": vf.pf.address, "vf": vf.index, "address": vf.address,
             "controller": vf.controller, "driver": vf.driver} | (rates or {})
            for vf, rates in rows]})
        sys.stdout.flush()
        return
    if sys.stdout.isatty():
        print(_CLEAR, end="")
    print(_ROW.format("PF", "VF", "controller", "driver", "reads/s", "writes/s",
                      "read kB/s", "write kB/s", "in flight"))
    for vf, rates in rows:
        shown = ["-"] * 5
        if rates:
            shown = [f"{rates['reads']:.0f}", f"{rates['writes']:.0f}",
                     f"{rates['read_bytes'] / 1000:.0f}",
                     f"{rates['written_bytes'] / 1000:.0f}", f"{rates['in_flight']:.0f}"]
        print(_ROW.format(vf.pf.address, f"vf{vf.index}", vf.controller or "-",
                          vf.driver or "-", *shown))
    print(flush=True)
