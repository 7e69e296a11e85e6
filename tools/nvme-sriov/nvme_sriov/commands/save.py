# SPDX-License-Identifier: GPL-2.0
"""``save``: write what is to the file."""

import argparse

from nvme_sriov.commands.common import add_devices, devices
from nvme_sriov.file import DEFAULT, describe, save
from nvme_sriov.sysfs import Sysfs


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_devices(parser)
    parser.add_argument("-f", "--file", default=DEFAULT,
                        help="the file, which is replaced, or - for standard output;"
                        " default: %(default)s")
    parser.add_argument("--serial", action="store_true",
                        help="name PFs by the serial numbers of their controllers")


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Writes the file, all of it or nothing."""
    lines = ["# What nvme-sriov apply makes so; see nvme-sriov(8).", ""]
    for pf in devices(sysfs, args.device):
        with pf.locked():
            lines += describe(pf, args.serial)
    save(args.file, lines)
    return 0
