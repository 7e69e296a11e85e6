# SPDX-License-Identifier: GPL-2.0
"""``apply``: make PFs what the file says."""

import argparse
import sys
from contextlib import ExitStack

from nvme_sriov.commands.common import add_devices, add_force, changes_to
from nvme_sriov.execution import execute
from nvme_sriov.failure import Failure, Misuse
from nvme_sriov.file import DEFAULT, Section, load
from nvme_sriov.physical import PhysicalFunction, candidates, find
from nvme_sriov.sysfs import Sysfs


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_devices(parser)
    parser.add_argument("-f", "--file", default=DEFAULT,
                        help="the file, or - for standard input; default: %(default)s")
    parser.add_argument("-n", "--dry-run", action="store_true",
                        help="print the plan, and change nothing")
    add_force(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Makes the plan of all PFs before it changes the first one. Each PF becomes what it is
    to be, or stays what it was."""
    chosen = _choose(sysfs, load(args.file), args)
    if not chosen:
        print(f"{args.file} says nothing of {', '.join(args.device) or 'any PF'}")
    with ExitStack() as stack:
        # In one order, or two of us might wait for each other.
        for pf, _ in sorted(chosen, key=lambda entry: entry[0].address):
            stack.enter_context(pf.locked())
        plans = []
        for pf, section in chosen:
            try:
                plans.append((pf, changes_to(pf, section.wanted, args.force)))
            except Failure as failure:
                raise type(failure)(f"{args.file}:{section.line}: {failure}") from failure
        for pf, changes in plans:
            if not changes:
                print(f"{pf}: nothing to do")
            for change in changes:
                print(f"{pf}: {change}")
            if not args.dry_run:
                # Whoever reads knows what is being done.
                sys.stdout.flush()
                execute(pf, changes)
    return 0


def _choose(sysfs: Sysfs, sections: list[Section],
            args: argparse.Namespace) -> list[tuple[PhysicalFunction, Section]]:
    """Returns the PFs that the file and the command line name. The file may name others that
    are not there."""
    only = {find(sysfs, name).address for name in args.device}
    chosen: dict[str, tuple[PhysicalFunction, Section]] = {}
    for section in sections:
        if only and not only & {pf.address for pf in candidates(sysfs, section.name)}:
            continue
        try:
            pf = find(sysfs, section.name)
        except Failure as failure:
            raise Failure(f"{args.file}:{section.line}: {failure}") from failure
        if pf.address in chosen:
            raise Misuse(f"{args.file}:{section.line}: {section.name} is {pf}, which line"
                         f" {chosen[pf.address][1].line} has already")
        chosen[pf.address] = pf, section
    return [entry for address, entry in chosen.items() if not only or address in only]
