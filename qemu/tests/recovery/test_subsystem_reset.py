# SPDX-License-Identifier: GPL-2.0
"""The reset of an NVM subsystem.

QEMU's controller does not support it. The driver simulates the support
(drivers/nvme/faults.rs); QEMU then traces the write to the register, and ignores it.
"""

import pytest

from faults.rules import Faults
from guest.machine import Machine
from guest.trace import traced
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio

NSSRS = 1 << 36
"""NVM Subsystem Reset Supported, in CAP."""
NSSR = "addr 0x20 data 0x4e564d65 "
"""The word "NVMe" in the register, as QEMU traces it."""


def reset(machine: Machine, pf: PhysicalFunction) -> tuple[int, int]:
    """Resets the subsystem. Returns the exit status of nvme-cli, and the number of writes to
    the register."""
    device = pf.device
    with traced(machine, "pci_nvme_mmio_write") as lines:
        result = machine.run(f"nvme subsystem-reset {device}", check=False)
    return result.rc, sum(NSSR in line for line in lines)


@pytest.mark.faults
def test_subsystem_reset(machine: Machine, driver: Driver,
                         pf: PhysicalFunction) -> None:
    status, writes = reset(machine, pf)
    assert status and not writes

    faults = Faults(machine)
    if not faults.available:
        pytest.skip("this driver cannot make up faults: its kernel has no"
                    " CONFIG_FAULT_INJECTION_DEBUG_FS")
    faults.register("CAP", set=NSSRS)
    pf.unbind()
    assert pf.bind(driver.name) == 0
    fio(machine, disk(machine, pf.live(), 1), size="1m")
    assert reset(machine, pf) == (0, 1)
    fio(machine, disk(machine, pf.live(), 1), size="1m")
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    faults.clear()
