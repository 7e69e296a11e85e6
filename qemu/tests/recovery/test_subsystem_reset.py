# SPDX-License-Identifier: GPL-2.0
"""The reset of an NVM subsystem.

QEMU's controller has none. The driver makes up that it has (drivers/nvme/faults.rs);
QEMU then sees the register written, and goes on as before.
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
    """Resets the subsystem: returns the exit status of nvme-cli, and how often the
    register was written."""
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
