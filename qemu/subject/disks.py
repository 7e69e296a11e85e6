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

    With nvme-core's multipath, the namespace has one block device, and the controller is
    one of its paths.
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
    """Waits until ``controller`` no longer serves ``nsid``.

    nvme-core removes a detached namespace when it has read the list of namespaces again.
    Until then, it refuses a private namespace on the controller that gets it next.
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
