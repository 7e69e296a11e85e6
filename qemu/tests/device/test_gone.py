# SPDX-License-Identifier: GPL-2.0
"""Controllers that disappear at some command, or cannot be brought back after a reset."""

import errno

import pytest

from faults.checks import (
    ADMIN_LIMIT, IO_LIMIT, check_given_up, check_unreadable, check_works, now, rebind, said,
    within,
)
from faults.commands import CREATE_CQ, CREATE_SQ, IDENTIFY, IDENTIFY_CONTROLLER, WRITE
from faults.programmed import SHAPE
from guest.device import Device
from guest.errors import CommandFailed
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command

pytestmark = pytest.mark.shape(SHAPE)


@pytest.mark.parametrize("skip", (0, 2, 5, 8, 11, 14))
def test_gone_while_probed(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                           device: Device, skip: int) -> None:
    device.add("gone", queue="admin", skip=skip, count=1)
    with within(machine, 3 * ADMIN_LIMIT):
        # The probe cannot fail any more once the controller is live.
        assert programmed.bind(driver.name) in (0, errno.ENODEV)
    machine.wait_for(device.met, "the command at which the device disappears")
    assert not programmed.controller or programmed.controller.state != "live"
    device.clear()
    assert rebind(programmed, driver) == 0
    check_works(machine, programmed)


@pytest.mark.essential
def test_gone(machine: Machine, driver: Driver, function: PhysicalFunction,
              device: Device) -> None:
    """If a device disappears under I/O or in a reset, I/O fails in time."""
    target = disk(machine, function.live(), 1)
    device.add("gone", queue="io", opcode=WRITE, skip=8, count=1)
    with within(machine, 4 * IO_LIMIT):
        with pytest.raises(CommandFailed):
            fio(machine, target, size="512k")
    device.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)

    for skip in (0, 4, 7):
        start = now(machine)
        name = function.device
        device.add("gone", queue="admin", skip=skip, count=1)
        with within(machine, 4 * ADMIN_LIMIT):
            machine.run(f"nvme reset {name}", check=False)
        assert device.met() == 1
        assert said(machine, "the controller is given up", start) == 1
        with within(machine, 4 * ADMIN_LIMIT):
            function.unbind()
        device.clear()
        assert function.bind(driver.name) == 0
        check_works(machine, function)


@pytest.mark.parametrize("action, about", [
    pytest.param("lose", {"opcode": IDENTIFY, "selector": IDENTIFY_CONTROLLER}, id="identify"),
    pytest.param("lose", {"opcode": CREATE_CQ}, id="create-cq"),
    pytest.param("gone", {"opcode": CREATE_SQ}, id="gone"),
])
def test_reset_fails(machine: Machine, driver: Driver, function: PhysicalFunction,
                     device: Device, action: str, about: dict[str, object]) -> None:
    """After a failed reset, the device works again only with a new probe."""
    target = disk(machine, function.live(), 1)
    process = machine.spawn(fio_command(target, time_based=1, runtime=120))
    machine.run("sleep 1")
    controller = function.device
    device.add(action, queue="admin", count=1, **about)
    with within(machine, 4 * ADMIN_LIMIT):
        assert machine.run(f"nvme reset {controller}", check=False).rc
        assert machine.finish(process, 4 * ADMIN_LIMIT) != 0
    assert device.met() == 1
    device.clear()
    assert machine.run(f"nvme reset {controller}", check=False).rc
    assert machine.run(f"nvme id-ctrl {controller}", check=False).rc
    check_given_up(machine, function)
    check_unreadable(machine, target)
    assert rebind(function, driver) == 0
    check_works(machine, function)
