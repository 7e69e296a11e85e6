# SPDX-License-Identifier: GPL-2.0
"""Controllers that grant fewer I/O queues than requested, or more, or none."""

import pytest

from faults.checks import check_works, said
from faults.commands import CREATE_CQ, CREATE_SQ, NUMBER_OF_QUEUES, SET_FEATURES
from faults.programmed import SHAPE
from guest.device import Device
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio_command

pytestmark = pytest.mark.shape(SHAPE)
_REQUEST = {"queue": "admin", "opcode": SET_FEATURES, "selector": NUMBER_OF_QUEUES}


def grant(device: Device, queues: int) -> None:
    """Has the controller grant a number of I/O queues, the next time that it is asked."""
    device.add({"result": (queues - 1) << 16 | (queues - 1)}, count=1, **_REQUEST)


@pytest.mark.parametrize("granted, used", [(1, 1), (2, 2), (65536, 2)])
def test_number_of_queues(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                          device: Device, granted: int, used: int) -> None:
    """The controller grants fewer I/O queues than requested, or more."""
    grant(device, granted)
    assert programmed.bind(driver.name) == 0
    assert device.met() == 1
    check_works(machine, programmed, used)


def test_other_number_after_a_reset(machine: Machine, function: PhysicalFunction,
                                    device: Device) -> None:
    """The controller grants another number of queues after a reset under I/O."""
    for granted in 2, 1, 65536:
        target = disk(machine, function.live(), 1)
        process = machine.spawn(fio_command(target, size="2m"))
        device.clear()
        grant(device, granted)
        machine.run(f"nvme reset {function.device}")
        assert machine.finish(process, 120) == 0
        assert device.met() == 1
        check_works(machine, function, min(granted, 2))


def test_no_queues(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                   device: Device) -> None:
    """A controller without I/O queues serves admin commands only, until a reset grants some.

    It has no disks meanwhile, even if somebody looks for namespaces.
    """
    device.add({"refuse": 6}, count=1, **_REQUEST)
    assert programmed.bind(driver.name) == 0
    assert programmed.live().io_queues == 0
    assert said(machine, "only administration is possible") == 1
    machine.run(f"nvme smart-log {programmed.device}")
    machine.run(f"nvme reset {programmed.device}")
    check_works(machine, programmed)

    device.add({"refuse": 6}, count=1, **_REQUEST)
    machine.run(f"nvme reset {programmed.device}")
    assert programmed.live().io_queues == 0
    assert said(machine, "the I/O queues are lost") == 1
    machine.run(f"nvme smart-log {programmed.device}")
    machine.run(f"nvme ns-rescan {programmed.device}; sleep 1")
    name = programmed.live().name
    assert machine.run(f"ls -d /sys/class/nvme/{name}/nvme*n*", check=False).rc
    machine.run(f"nvme reset {programmed.device}")
    check_works(machine, programmed)


@pytest.mark.parametrize("command", [
    pytest.param(CREATE_CQ, id="cq"), pytest.param(CREATE_SQ, id="sq")])
def test_refused_queue(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                       device: Device, command: int) -> None:
    """The controller grants queues, and then refuses to create the second."""
    device.add({"refuse": 0x101}, queue="admin", opcode=command, skip=1, count=1)
    assert programmed.bind(driver.name) == 0
    assert device.met() == 1
    assert said(machine, "I/O queue 2 was refused, status 0x101") == 1
    check_works(machine, programmed, 1)
    machine.run(f"nvme reset {programmed.device}")
    check_works(machine, programmed)
