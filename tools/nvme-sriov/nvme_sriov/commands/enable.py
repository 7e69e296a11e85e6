# SPDX-License-Identifier: GPL-2.0
"""``enable``: enable VFs, with what was set for them."""

import argparse
from dataclasses import replace

from nvme_sriov.commands.common import add_device, add_force, is_so, make_so, optional_number
from nvme_sriov.declaration import Declaration
from nvme_sriov.failure import Misuse
from nvme_sriov.physical import find
from nvme_sriov.sysfs import Sysfs


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_device(parser)
    parser.add_argument("count", nargs="?", metavar="COUNT",
                        help="how many; default: as many as there can be")
    add_force(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Enables VFs. Another number of them is disabled first, and those that were reserved for
    a driver are afterwards, too."""
    count = optional_number(args.count)
    if count == 0:
        raise Misuse("0 VFs: 'disable' does that")
    pf = find(sysfs, args.device)
    with pf.locked():
        count = pf.total if count is None else count
        now = is_so(pf)
        settings = now.settings
        if count != now.vfs:
            # VFs that are enabled anew lose their driver_override.
            settings |= {vf.index: replace(settings[vf.index], driver=vf.reservation)
                         for vf in pf.vfs[:min(count, now.vfs)]}
        make_so(pf, Declaration(count, settings), args.force)
    return 0
