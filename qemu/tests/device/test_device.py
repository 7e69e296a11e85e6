# SPDX-License-Identifier: GPL-2.0
"""A controller outside of QEMU, honest and otherwise.

Whatever it does, QEMU's own controller serves I/O beside it, and so does this one once it is
sane again.
"""

import pytest

from faults.checks import ADMIN_LIMIT, IO_LIMIT, check_works, within
from faults.commands import CREATE_CQ, WRITE
from faults.programmed import SHAPE
from guest.device import Device
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio

pytestmark = pytest.mark.shape(SHAPE)


def check_both(machine: Machine, driver: Driver, function: PhysicalFunction,
               device: Device) -> None:
    """Checks that a sane device, and the other controller, serve I/O."""
    if function.driver:
        function.unbind()
    device.make_sane()
    assert function.bind(driver.name) == 0
    check_works(machine, function)
    assert device.violations() == []
    check_works(machine, physical_functions(machine)[0])


@pytest.mark.essential
def test_honest(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                device: Device) -> None:
    """The driver does nothing that it must not do, from the probe to the end."""
    assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)
    assert device.state()["interrupts"] == "Msix"
    machine.run(f"nvme reset /dev/{programmed.live().name}")
    check_works(machine, programmed)
    assert device.count("enables") == 2
    assert device.count("io_commands") > 0
    programmed.unbind()
    assert device.count("shutdowns") == 1
    assert device.violations() == []


@pytest.mark.parametrize("action", [
    pytest.param({"repeat": 2}, id="twice"),
    # No command has this identifier: its tag is beyond the depth of all queues.
    pytest.param({"extra": 0xffff}, id="stranger"),
    pytest.param({"head": "random"}, id="wrong-head"),
    pytest.param({"shuffle": 5}, id="out-of-order"),
    pytest.param({"delay": 20}, id="late"),
    pytest.param({"split": 2}, id="more-interrupts"),
])
def test_completions(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                     device: Device, action: dict[str, object]) -> None:
    """Completions that come twice, of commands that were not sent, with a wrong head, out of
    order, late, or with interrupts before and after them: I/O goes on, and its data is right."""
    assert programmed.bind(driver.name) == 0
    target = disk(machine, programmed.live(), 1)
    device.add(action, queue="io")
    fio(machine, target, size="512k")
    assert device.met() > 0
    check_both(machine, driver, programmed, device)


def test_coalesced_interrupts(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                              device: Device) -> None:
    """Several completions have one interrupt, which comes after the last of them."""
    assert programmed.bind(driver.name) == 0
    target = disk(machine, programmed.live(), 1)
    device.add({"coalesce": 20}, queue="io")
    commands, before = device.count("io_commands"), device.count("interrupts")
    fio(machine, target, size="512k")
    assert device.met() == device.count("io_commands") - commands > 0
    assert device.count("interrupts") - before < 0.7 * device.met()
    check_both(machine, driver, programmed, device)


def test_stuck_command(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                       device: Device) -> None:
    """A command that is stuck is aborted, and sent again; the controller is not reset."""
    assert programmed.bind(driver.name) == 0
    target = disk(machine, programmed.live(), 1)
    device.add("hold", queue="io", opcode=WRITE, count=1)
    with within(machine, 4 * IO_LIMIT):
        fio(machine, target, size="128k")
    assert device.met() == 1
    assert device.count("aborted") == 1
    assert device.count("enables") == 1
    check_both(machine, driver, programmed, device)


def test_refused_queue(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                       device: Device) -> None:
    """A completion queue is never created: the probe ends."""
    device.add("lose", queue="admin", opcode=CREATE_CQ)
    with within(machine, 4 * ADMIN_LIMIT):
        programmed.bind(driver.name)
    assert device.met() > 0
    check_both(machine, driver, programmed, device)
