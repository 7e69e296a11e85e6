# SPDX-License-Identifier: GPL-2.0
"""``disable``: disable all VFs of a PF."""

import argparse

from nvme_sriov.commands.common import add_device, add_force, is_so, make_so
from nvme_sriov.declaration import Declaration
from nvme_sriov.physical import find
from nvme_sriov.sysfs import Sysfs


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_device(parser)
    add_force(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Disables the VFs. What was set for them stays."""
    pf = find(sysfs, args.device)
    with pf.locked():
        make_so(pf, Declaration(0, is_so(pf).settings), args.force)
    return 0
