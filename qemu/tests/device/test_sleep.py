# SPDX-License-Identifier: GPL-2.0
"""Sleep in a power state; QEMU's controllers have only one."""

from collections.abc import Iterator

import pytest

from faults.checks import check_works, said
from faults.commands import HOST_MEMORY_BUFFER, POWER_MANAGEMENT, SET_FEATURES
from faults.programmed import SHAPE
from guest.device import Device
from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.sleep import link_saves_power, set_link_policy, suspend

pytestmark = pytest.mark.shape(SHAPE)

STATES = 5
LOWEST = STATES - 1
ABOUT = {"queue": "admin", "opcode": SET_FEATURES, "selector": POWER_MANAGEMENT}


@pytest.fixture
def function(machine: Machine, driver: Driver, programmed: PhysicalFunction,
             device: Device) -> Iterator[PhysicalFunction]:
    """Yields the function, bound to a controller with power states, behind a link that saves
    power."""
    device.set(power_states=STATES)
    with link_saves_power(machine):
        assert programmed.bind(driver.name) == 0
        programmed.live()
        yield programmed


def check_shut_down(machine: Machine, function: PhysicalFunction, device: Device) -> None:
    """Checks that a sleep shuts the controller down, and that it works afterwards."""
    assert suspend(machine) == 0
    check_works(machine, function)
    assert device.count("shutdowns") == 1
    assert device.count("enables") == 2


def test_power_state(machine: Machine, function: PhysicalFunction, device: Device) -> None:
    """The controller is in its lowest power state while the system sleeps, and in the former
    one afterwards, with its workload hint. It is neither shut down nor reset."""
    check_works(machine, function)
    former = 1 | 2 << 5
    machine.run(f"nvme set-feature {function.device} -f {POWER_MANAGEMENT} -V {former}")
    assert suspend(machine) == 0
    assert device.features(POWER_MANAGEMENT) == [former, LOWEST, former]
    check_works(machine, function)
    assert device.count("shutdowns") == 0
    assert device.count("enables") == 1
    # After a reset of the controller, the next sleep is the same.
    machine.run(f"nvme reset {function.device}")
    function.live()
    assert suspend(machine) == 0
    assert device.features(POWER_MANAGEMENT)[3:] == [LOWEST, 0]
    check_works(machine, function)
    assert device.violations() == []


def test_refused(machine: Machine, function: PhysicalFunction, device: Device) -> None:
    """A controller that refuses the power state is shut down."""
    device.add({"refuse": 0x02}, **ABOUT)
    check_shut_down(machine, function, device)
    assert said(machine, f"power state {LOWEST} was refused") == 1


def test_refused_on_waking(machine: Machine, function: PhysicalFunction,
                           device: Device) -> None:
    """A controller that does not leave its power state is reset."""
    device.add({"refuse": 0x02}, skip=1, count=1, **ABOUT)
    assert suspend(machine) == 0
    check_works(machine, function)
    assert said(machine, "does not leave its power state") == 1
    assert device.count("enables") == 2


def test_no_aspm(machine: Machine, function: PhysicalFunction, device: Device) -> None:
    """If ASPM is off, the controller is shut down and the device goes to D3."""
    set_link_policy(machine, "performance")
    check_shut_down(machine, function, device)


def test_simple_suspend(machine: Machine, driver: Driver, function: PhysicalFunction,
                        device: Device) -> None:
    """With the quirk, the controller is shut down although it has power states."""
    driver.unload()
    driver.load("quirks=1b36:0010:simple_suspend")
    function.live()
    shutdowns, enables = device.count("shutdowns"), device.count("enables")
    assert suspend(machine) == 0
    check_works(machine, function)
    assert device.count("shutdowns") == shutdowns + 1
    assert device.count("enables") == enables + 1
    driver.unload()
    driver.load()


def test_host_memory_buffer(machine: Machine, driver: Driver, function: PhysicalFunction,
                            device: Device) -> None:
    """The driver takes the host memory buffer back before a controller sleeps in a power state,
    as the memory may be off then. After wake-up the controller gets the same buffer."""
    function.unbind()
    device.set(hmb_preferred=4096)
    assert function.bind(driver.name) == 0
    function.live()
    given = device.features(HOST_MEMORY_BUFFER)
    enable, returned = 1, 3
    assert given[-1] == enable
    assert suspend(machine) == 0
    assert device.features(HOST_MEMORY_BUFFER)[len(given):] == [0, returned]
    check_works(machine, function)
    assert device.violations() == []
