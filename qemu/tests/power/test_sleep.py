# SPDX-License-Identifier: GPL-2.0
"""VFs in a power state of their own while the system sleeps.

QEMU's controllers have one power state, and refuse to change it. The driver simulates several,
and a controller that agrees (drivers/nvme/faults.rs).
"""

import re

import pytest

from faults.commands import (
    IDENTIFY, IDENTIFY_CONTROLLER, POWER_MANAGEMENT, SET_FEATURES,
)
from faults.rules import Faults
from guest.machine import Machine
from guest.trace import traced
from subject.disks import private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.sleep import link_saves_power, suspend

pytestmark = pytest.mark.faults

LOWEST, NPSS = 4, 263
"""The number of the lowest power state, and where Identify Controller has it."""


def sleep(machine: Machine) -> tuple[list[str], bool]:
    """Suspends and resumes the devices. Returns the power states that were set, in order, and
    whether CC of any controller was written."""
    with traced(machine, "pci_nvme_setfeat", "pci_nvme_mmio_cfg") as lines:
        assert suspend(machine) == 0
    states = re.findall(r"fid 0x2 .*cdw11 (0x\w+)", "\n".join(lines))
    return states, any("mmio_cfg" in line for line in lines)


def test_power_states_of_vfs(machine: Machine, driver: Driver, function: PhysicalFunction,
                             faults: Faults) -> None:
    """VFs enter and leave power states like the PF."""
    faults.command(f"data={LOWEST} at={NPSS} size=1 opcode={IDENTIFY}"
                   f" dword10={IDENTIFY_CONTROLLER} count=1000",
                   f"status=0 opcode={SET_FEATURES} dword10={POWER_MANAGEMENT} count=1000")
    function.unbind()
    with link_saves_power(machine):
        assert function.bind(driver.name) == 0
        function.live()
        assert function.set_vfs(2) == 0
        disks = private_disks(machine, function)
        assert sleep(machine) == ([hex(LOWEST)] * 3 + ["0x0"] * 3, False)
        for vf in function.vfs:
            vf.live()
        fio(machine, *disks, size="1m")
        assert function.set_vfs(0) == 0
