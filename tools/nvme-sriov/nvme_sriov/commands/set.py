# SPDX-License-Identifier: GPL-2.0
"""``set``: what one VF is to have, in the manner of ``ip link set DEVICE vf NUMBER``."""

import argparse
from dataclasses import replace
from typing import Any

from nvme_sriov.commands.common import add_device, add_force, is_so, make_so
from nvme_sriov.declaration import Declaration
from nvme_sriov.failure import Misuse
from nvme_sriov.physical import find
from nvme_sriov.setting import number, parse
from nvme_sriov.sysfs import Sysfs


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_device(parser)
    parser.add_argument("vf", metavar="vf", help="the word 'vf'")
    parser.add_argument("number", metavar="NUMBER", help="the VF, from 0")
    parser.add_argument("values", nargs="+", metavar="KEY VALUE",
                        help="queues COUNT, interrupts COUNT (0: a share),"
                        " namespaces LIST ('none': none of its own),"
                        " driver NAME ('none', 'default')")
    add_force(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Sets all that is said, or nothing."""
    if args.vf != "vf":
        raise Misuse(f"'{args.vf}' is not 'vf', which comes before the number")
    try:
        index = number(args.number)
        values = _values(args.values)
    except ValueError as error:
        raise Misuse(str(error)) from error
    pf = find(sysfs, args.device)
    pf.vf(index)
    with pf.locked():
        now = is_so(pf)
        if "driver" in values and index >= now.vfs:
            raise Misuse(f"{pf} vf{index}: not enabled, so it cannot have a driver")
        new = replace(now.setting(index), **values)
        make_so(pf, Declaration(now.vfs, now.settings | {index: new}), args.force)
    return 0


def _values(words: list[str]) -> dict[str, Any]:
    """Returns the values by their keys. Raises ValueError."""
    values: dict[str, object] = {}
    rest = list(words)
    while rest:
        key = rest.pop(0)
        if not rest:
            parse(key, "0" if key != "driver" else "none")
            raise ValueError(f"the value of '{key}' is missing")
        if key in values:
            raise ValueError(f"'{key}' is there twice")
        values[key] = parse(key, rest.pop(0))
    return values
