# SPDX-License-Identifier: GPL-2.0
"""Disks: the block devices of namespaces."""

import os
import re

from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID
from subject.controllers import Controller
from subject.functions import PhysicalFunction


def disk(machine: Machine, controller: Controller, nsid: int) -> str:
    """Waits for the block device through which ``controller`` serves ``nsid``.

    With nvme-core's multipath that is the namespace's one block device, of which
    the controller has a path.
    """
    def find() -> str | None:
        found = machine.run(
            f"cd /sys/class/nvme/{controller.name} &&"
            f" grep -lsx {nsid} nvme*n*/nsid", check=False).out.strip()
        return re.sub(r"c\d+", "", os.path.dirname(found)) or None
    name = machine.wait_for(find, f"namespace {nsid} of {controller.name}")
    machine.wait_for(
        lambda: not machine.run(f"test -b /dev/{name}", check=False).rc,
        f"/dev/{name}")
    return f"/dev/{name}"


def no_disk(machine: Machine, controller: Controller, nsid: int) -> None:
    """Waits until ``controller`` serves ``nsid`` no more.

    A detached namespace goes when nvme-core has looked at the list of them, and until
    then a private one is refused to the controller that it is attached to next.
    """
    machine.wait_for(
        lambda: machine.run(
            f"grep -lsx {nsid} /sys/class/nvme/{controller.name}/nvme*n*/nsid",
            check=False).rc, f"end of namespace {nsid} of {controller.name}")


def private_disks(machine: Machine, pf: PhysicalFunction) -> list[str]:
    """Gives each VF a namespace of its own, and returns their block devices."""
    users = list(enumerate((vf.live() for vf in pf.vfs), FIRST_PRIVATE_NSID))
    for nsid, user in users:
        pf.attach(nsid, user.cntlid)
    return [disk(machine, user, nsid) for nsid, user in users]
