# SPDX-License-Identifier: GPL-2.0
"""``doctor``: what would keep VFs from working on this machine, and what to do."""

import argparse

from nvme_sriov.commands.common import add_devices, add_json, devices, print_json
from nvme_sriov.doctor import module, vfio
from nvme_sriov.doctor.binding import binding
from nvme_sriov.doctor.finding import Finding, Grade, error
from nvme_sriov.doctor.isolation import isolation
from nvme_sriov.doctor.resources import resources
from nvme_sriov.doctor.room import buses, windows
from nvme_sriov.physical import discover
from nvme_sriov.sysfs import Sysfs


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_devices(parser)
    add_json(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Prints a line for each finding. Returns 1 if one of them is an error."""
    found = [*module.module(sysfs), *vfio.presence(sysfs)]
    if not args.device and not discover(sysfs):
        found.append(error("PCI", "there is no NVMe function with SR-IOV",
                           "enable SR-IOV in the machine's and the controller's firmware"))
    for pf in devices(sysfs, args.device) if args.device else discover(sysfs):
        for check in (binding, resources, buses, windows, isolation, vfio.vfio):
            found += check(pf)
    if args.format == "json":
        print_json({"findings": [
            {"grade": one.grade.value, "subject": one.subject, "text": one.text,
             "advice": one.advice} for one in found]})
    else:
        for one in found:
            _print(one)
    return int(any(one.grade is Grade.ERROR for one in found))


def _print(one: Finding) -> None:
    print(f"{one.grade.value:<8} {one.subject}: {one.text}")
    if one.advice:
        print(f"{'':8} -> {one.advice}")
