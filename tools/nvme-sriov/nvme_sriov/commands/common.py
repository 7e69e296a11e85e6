# SPDX-License-Identifier: GPL-2.0
"""What several commands share."""

import argparse
import json
from collections.abc import Sequence

from nvme_sriov.declaration import Declaration, check
from nvme_sriov.driver import missing
from nvme_sriov.execution import check_unused, execute
from nvme_sriov.failure import Failure, Misuse
from nvme_sriov.physical import PhysicalFunction, discover, find
from nvme_sriov.plan import Bind, Change, Load, observe, plan
from nvme_sriov.setting import number
from nvme_sriov.sysfs import Sysfs


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name PFs."""
    parser.add_argument("device", nargs="*", metavar="DEVICE",
                        help="a PCI address, a controller (nvme0), or serial=NUMBER;"
                        " default: all")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names a PF."""
    parser.add_argument("device", metavar="DEVICE",
                        help="a PCI address, a controller (nvme0), or serial=NUMBER")


def add_force(parser: argparse.ArgumentParser) -> None:
    """Adds the option that takes VFs from their users."""
    parser.add_argument("--force", action="store_true",
                        help="take the driver from VFs that are in use, too")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the format of the output."""
    parser.add_argument("--json", action="store_const", const="json", dest="format",
                        help="print JSON")
    parser.add_argument("-o", "--output-format", choices=("normal", "json"), dest="format",
                        help="the same, as nvme-cli has it")


def print_json(value: object) -> None:
    """Prints JSON."""
    print(json.dumps(value, indent=2))


def devices(sysfs: Sysfs, names: Sequence[str]) -> list[PhysicalFunction]:
    """Returns the PFs that are named, each once; all, if none is. Raises if there is none."""
    found = {pf.address: pf for pf in (find(sysfs, name) for name in names)}
    if names:
        return list(found.values())
    everything = discover(sysfs)
    if not everything:
        raise Failure("there is no NVMe function with SR-IOV")
    return everything


def changes_to(pf: PhysicalFunction, wanted: Declaration, force: bool) -> list[Change]:
    """Returns the changes that make the PF what it is to be. Raises if it cannot be, or if
    they would take a VF from its user. Modules come first: what cannot be loaded changes
    nothing."""
    check(pf, wanted)
    changes = plan(observe(pf), wanted)
    if not force:
        check_unused(pf, changes)
    drivers = (change.driver for change in changes if isinstance(change, Bind))
    return [*map(Load, missing(pf.sysfs, drivers)), *changes]


def make_so(pf: PhysicalFunction, wanted: Declaration, force: bool) -> list[Change]:
    """Makes the PF what it is to be, and returns what was changed."""
    changes = changes_to(pf, wanted, force)
    execute(pf, changes)
    return changes


def optional_number(words: str | None) -> int | None:
    """Returns the number that an argument is, if there is the argument."""
    try:
        return None if words is None else number(words)
    except ValueError as error:
        raise Misuse(str(error)) from error


def is_so(pf: PhysicalFunction) -> Declaration:
    """Returns what the PF is like; any driver will do for its VFs."""
    return Declaration(pf.enabled, {vf.index: vf.setting for vf in pf.vfs})
