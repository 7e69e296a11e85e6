# SPDX-License-Identifier: GPL-2.0
"""The controller while the system sleeps: shut down, or in a power state of its own.

The driver simulates several power states, and a controller that accepts them
(drivers/nvme/faults.rs).
"""

import re
from collections.abc import Iterator

import pytest

from faults.power import LOWEST, agree, have_power_states
from faults.rules import Faults
from guest.machine import Machine
from guest.trace import traced
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio
from subject.sleep import link_saves_power, set_link_policy, suspend

SHUTDOWN = "shutdown"

pytestmark = pytest.mark.faults


@pytest.fixture
def states(machine: Machine, unloaded: Driver) -> Iterator[Faults]:
    """Makes controllers have power states from the next probe on, and enables ASPM."""
    unloaded.load()
    faults = Faults(machine)
    if not faults.available:
        pytest.skip("this driver cannot make up faults: its kernel has no"
                    " CONFIG_FAULT_INJECTION_DEBUG_FS")
    with link_saves_power(machine):
        probe(machine, unloaded, faults)
        yield faults
    if machine.alive:
        faults.clear()


def probe(machine: Machine, driver: Driver, faults: Faults) -> PhysicalFunction:
    """Probes the controller again, with power states."""
    faults.clear()
    have_power_states(faults)
    pf, = physical_functions(machine)
    pf.unbind()
    assert pf.bind(driver.name) == 0
    pf.live()
    return pf


def sleep(machine: Machine) -> tuple[list[str], bool]:
    """Suspends and resumes the devices. Returns the power states that were set and the
    shutdowns, in order, and whether CC of any controller was written."""
    with traced(machine, "pci_nvme_setfeat", "pci_nvme_mmio_shutdown_set",
                "pci_nvme_mmio_cfg") as lines:
        assert suspend(machine) == 0
    found = []
    for line in lines:
        state = re.search(r"fid 0x2 .*cdw11 (0x\w+)", line)
        if state:
            found.append(state[1])
        elif "shutdown" in line:
            found.append(SHUTDOWN)
    return found, any("mmio_cfg" in line for line in lines)


def test_power_state(machine: Machine, unloaded: Driver, states: Faults) -> None:
    """The controller is in its lowest power state while the system sleeps, and in the former
    one afterwards. It is neither shut down nor reset."""
    pf, = physical_functions(machine)
    device = disk(machine, pf.live(), 1)
    fio(machine, device, size="1m")
    agree(states)
    states.command("result=0x41 opcode=0xa dword10=2 count=1")
    assert sleep(machine) == ([hex(LOWEST), "0x41"], False)
    pf.live()
    fio(machine, device, size="1m")
    # After a reset of the controller, the next sleep is the same.
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    assert sleep(machine) == ([hex(LOWEST), "0x0"], False)
    fio(machine, device, size="1m")


def test_power_states_of_vfs(machine: Machine, unloaded: Driver,
                             states: Faults) -> None:
    """VFs enter and leave power states like the PF."""
    pf, = physical_functions(machine)
    assert pf.set_vfs(2) == 0
    disks = private_disks(machine, pf)
    agree(states)
    assert sleep(machine) == ([hex(LOWEST)] * 3 + ["0x0"] * 3, False)
    for vf in pf.vfs:
        vf.live()
    fio(machine, *disks, size="1m")
    assert pf.set_vfs(0) == 0


def test_refused(machine: Machine, unloaded: Driver, states: Faults) -> None:
    """A controller that refuses the power state is shut down."""
    pf, = physical_functions(machine)
    device = disk(machine, pf.live(), 1)
    assert sleep(machine) == ([hex(LOWEST), SHUTDOWN], True)
    assert f"power state {LOWEST} was refused" in machine.log.window()
    pf.live()
    fio(machine, device, size="1m")


def test_refused_on_waking(machine: Machine, unloaded: Driver,
                           states: Faults) -> None:
    """A controller that does not leave its power state is reset."""
    pf, = physical_functions(machine)
    device = disk(machine, pf.live(), 1)
    states.command("status=0 opcode=9 dword10=2 count=1")
    assert sleep(machine) == ([hex(LOWEST), "0x0"], True)
    assert "does not leave its power state" in machine.log.window()
    pf.live()
    fio(machine, device, size="1m")


def test_no_aspm(machine: Machine, unloaded: Driver, states: Faults) -> None:
    """If ASPM is off, the controller is shut down and the device goes to D3."""
    set_link_policy(machine, "performance")
    agree(states)
    assert sleep(machine) == ([SHUTDOWN], True)
    physical_functions(machine)[0].live()


def test_simple_suspend(machine: Machine, unloaded: Driver, states: Faults) -> None:
    """With the quirk, the controller is shut down although it has power states."""
    unloaded.unload()
    unloaded.load("quirks=1b36:0010:simple_suspend")
    pf = probe(machine, unloaded, states)
    agree(states)
    assert sleep(machine) == ([SHUTDOWN], True)
    fio(machine, disk(machine, pf.live(), 1), size="1m")
