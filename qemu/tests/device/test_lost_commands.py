# SPDX-License-Identifier: GPL-2.0
"""Commands whose completion is lost, late or false."""

import errno

import pytest

from faults.checks import (
    ADMIN_LIMIT, ENODEV, IO_LIMIT, check_works, now, read_block, rebind, said, within,
)
from faults.commands import (
    ABORT, ASYNC_EVENTS, CREATE_CQ, CREATE_SQ, GET_LOG, IDENTIFY, IDENTIFY_CONTROLLER,
    NUMBER_OF_QUEUES, READ, SET_FEATURES, WRITE,
)
from faults.programmed import SHAPE
from guest.device import Device
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver, nvme_core
from subject.functions import PhysicalFunction
from subject.io import fio

pytestmark = pytest.mark.shape(SHAPE)


def test_missed_interrupt(machine: Machine, function: PhysicalFunction,
                          device: Device) -> None:
    """The timeout handler finds a completion whose interrupt was lost."""
    target = disk(machine, function.live(), 1)
    device.add("silent", queue="io", opcode=READ, count=1)
    machine.run(read_block(target))
    assert device.met() == 1
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "aborting|resetting|dropped")
    check_works(machine, function)


def test_lost_io(machine: Machine, function: PhysicalFunction, device: Device) -> None:
    """The driver sends Abort, then resets. The commands are sent again, the data is right."""
    target = disk(machine, function.live(), 1)
    # Rings that have wrapped, so that the poll sees old entries everywhere.
    fio(machine, target, size="4m", verify=0)
    device.add("lose", queue="io", opcode=WRITE, skip=8, count=2)
    fio(machine, target, size="512k")
    assert device.met() == 2
    assert device.count("aborts") == 2
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") >= 1
    assert not said(machine, "no interrupt came|dropped")
    check_works(machine, function)


def test_few_aborts_at_a_time(machine: Machine, function: PhysicalFunction,
                              device: Device) -> None:
    """The controller permits four Aborts at a time (ACL); other commands have to wait."""
    target = disk(machine, function.live(), 1)
    device.add("lose", queue="io", opcode=WRITE, count=6)
    device.add("lose", queue="admin", opcode=ABORT)
    fio(machine, target, size="24k", iodepth=6)
    assert said(machine, "no answer; aborting it") == 4
    assert said(machine, "no answer; resetting the controller") >= 1
    assert not said(machine, "no Abort command could be sent")
    check_works(machine, function)


def test_lost_again(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                    device: Device) -> None:
    """Multipath sends a command again until it succeeds."""
    # The subsystem may have several controllers (CMIC), which share the namespace (NMIC).
    device.add({"patch": {"at": 76, "bytes": [2]}}, queue="admin", opcode=IDENTIFY,
               selector=IDENTIFY_CONTROLLER)
    device.add({"patch": {"at": 30, "bytes": [1]}}, queue="admin", opcode=IDENTIFY, selector=0)
    assert programmed.bind(driver.name) == 0
    target = disk(machine, programmed.live(), 1)
    device.add("lose", queue="io", opcode=READ, count=2)
    machine.run(read_block(target))
    assert device.count("aborts") == 2
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") == 2
    check_works(machine, programmed)


def test_lost_for_good(machine: Machine, driver: Driver, function: PhysicalFunction,
                       device: Device) -> None:
    """Without multipath, I/O fails after a reset that did not help."""
    with nvme_core(machine, driver, f"multipath=N io_timeout={IO_LIMIT}"
                                    f" admin_timeout={ADMIN_LIMIT}"):
        target = disk(machine, function.live(), 1)
        device.add("lose", queue="io", opcode=READ)
        with within(machine, 5 * IO_LIMIT):
            assert machine.run(read_block(target), check=False).rc
        assert said(machine, "no answer; aborting it") == 1
        assert said(machine, "no answer; resetting the controller") == 1
        assert said(machine, "no answer while starting") == 1
        assert said(machine, "the controller is given up") == 1
        device.clear()
    check_works(machine, function)


@pytest.mark.essential
def test_lost_as_the_next_reset_is_due(machine: Machine, function: PhysicalFunction,
                                       device: Device) -> None:
    """A reset is asked for while the one before it waits for a command that is lost: it does
    not wait for that for ever."""
    device.add("lose", queue="admin", opcode=SET_FEATURES, selector=ASYNC_EVENTS, count=1)
    reset = f"echo 1 > /sys/class/nvme/{function.live().name}/reset_controller"
    first = machine.spawn(reset)
    machine.wait_for(device.met, "the command")
    with within(machine, 3 * ADMIN_LIMIT):
        machine.run(reset)
        machine.finish(first)
    assert device.met() == 1
    check_works(machine, function)
    assert device.violations() == []


def test_lost_by_the_block_layer(machine: Machine, function: PhysicalFunction) -> None:
    """A completion that the block layer's fault injection drops causes Abort and a reset."""
    target = disk(machine, function.live(), 1)
    queue = machine.run(
        f"ls -d /sys/class/nvme/{function.live().name}/nvme*n1").out.strip()
    knob = f"{queue}/io-timeout-fail"
    if machine.run(f"test -e {knob}", check=False).rc:
        pytest.skip("this kernel has no CONFIG_FAIL_IO_TIMEOUT")
    machine.run("cd /sys/kernel/debug/fail_io_timeout; echo 100 > probability;"
                f" echo 1 > times; echo 0 > verbose; echo 1 > {knob}")
    machine.run(read_block(target))
    machine.run(f"echo 0 > {knob}; echo 0 > /sys/kernel/debug/fail_io_timeout/probability")
    assert said(machine, "no answer; aborting it") == 1
    assert said(machine, "no answer; resetting the controller") == 1
    check_works(machine, function)


def test_false_completions(machine: Machine, function: PhysicalFunction,
                           device: Device) -> None:
    """The driver drops completions for which no command waits, and takes the right one: those
    that come twice, those of a tag that no queue has, and those of an earlier command with the
    same tag, which nvme-core numbers in the upper four bits of an identifier."""
    target = disk(machine, function.live(), 1)
    for action in {"repeat": 2}, {"extra": 0x0fff}, {"similar": 0x1000}:
        device.add(action, queue="io", opcode=READ, count=1)
        machine.run(read_block(target))
        device.add(action, queue="admin", opcode=GET_LOG, count=1)
        machine.run(f"nvme smart-log {function.device}")
    assert device.met() == 6
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 3
    assert said(machine, "queue 0: .* dropped") == 3
    assert not said(machine, "aborting|resetting")
    check_works(machine, function)


def test_endless_completions(machine: Machine, driver: Driver, function: PhysicalFunction,
                             device: Device) -> None:
    """A controller that posts completions without end does not keep the interrupt handler,
    or a stop of the controller, from coming to an end."""
    target = disk(machine, function.live(), 1)
    device.add({"endless": 0x0fff}, queue="io", opcode=READ, count=1)
    machine.run(read_block(target))
    device.add({"endless": 0x0fff}, queue="admin", opcode=GET_LOG, count=1)
    machine.run(f"nvme smart-log {function.device}")
    # Eight are reported of each queue.
    machine.wait_for(lambda: said(machine, "queue 0: .* dropped") == 8, "reports")
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 8
    with within(machine, ADMIN_LIMIT):
        function.unbind()
    device.clear()
    assert function.bind(driver.name) == 0
    check_works(machine, function)


def test_late_after_abort(machine: Machine, function: PhysicalFunction,
                          device: Device) -> None:
    """A command that is late, not lost, completes although an Abort was sent."""
    target = disk(machine, function.live(), 1)
    device.add("keep", queue="io", opcode=READ, count=1)
    process = machine.spawn(read_block(target))
    machine.wait_for(lambda: device.count("aborts"), "Abort")
    device.release()
    assert machine.finish(process) == 0
    assert said(machine, "no answer; aborting it") == 1
    assert not said(machine, "resetting|dropped")
    check_works(machine, function)


def test_late_after_reset(machine: Machine, function: PhysicalFunction,
                          device: Device) -> None:
    """Completions from before a reset complete nothing after it."""
    target = disk(machine, function.live(), 1)
    device.add("keep", queue="io", opcode=READ, count=1)
    device.add("keep", queue="admin", opcode=GET_LOG, count=1)
    machine.run(read_block(target))
    assert said(machine, "resetting the controller") == 1
    function.live()
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert said(machine, "resetting the controller") == 2
    assert device.met() == 2
    function.live()
    device.release()
    check_works(machine, function)
    machine.run(f"nvme smart-log {function.device}")
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 1
    assert said(machine, "queue 0: .* dropped") == 1


def test_errors_of_commands(machine: Machine, function: PhysicalFunction,
                            device: Device) -> None:
    """A command with a retryable error is retried; another error reaches the user."""
    target = disk(machine, function.live(), 1)
    internal, do_not_retry = 0x06, 0x4000
    device.add({"refuse": internal}, queue="io", opcode=READ, count=1)
    machine.run(read_block(target))
    device.add({"refuse": internal | do_not_retry}, queue="io", opcode=READ, count=1)
    assert machine.run(read_block(target), check=False).rc
    assert device.met() == 2
    check_works(machine, function)


def test_lost_admin(machine: Machine, function: PhysicalFunction, device: Device) -> None:
    """A lost admin command fails, and causes a reset."""
    device.add("silent", queue="admin", opcode=GET_LOG, count=1)
    machine.run(f"nvme smart-log {function.device}")
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "resetting")

    device.add("lose", queue="admin", opcode=GET_LOG, count=1)
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert device.met() == 2
    assert said(machine, "resetting the controller") == 1
    check_works(machine, function)


@pytest.mark.parametrize("about", [
    pytest.param({"opcode": IDENTIFY, "selector": IDENTIFY_CONTROLLER}, id="identify"),
    pytest.param({"opcode": SET_FEATURES, "selector": NUMBER_OF_QUEUES}, id="queues"),
    pytest.param({"opcode": CREATE_CQ}, id="create-cq"),
    pytest.param({"opcode": CREATE_SQ, "skip": 1}, id="create-sq"),
])
def test_lost_while_starting(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                             device: Device, about: dict[str, object]) -> None:
    """A controller that stops answering while it is probed, or reset, is given up."""
    device.add("lose", queue="admin", count=1, **about)
    start = now(machine)
    with within(machine, 3 * ADMIN_LIMIT):
        assert programmed.bind(driver.name) == errno.ENODEV
    assert not programmed.controller
    assert device.met() == 1
    assert said(machine, f"the controller cannot be started: {ENODEV}", start) == 1
    device.clear()
    assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)

    device.add("lose", queue="admin", count=1, **about)
    with within(machine, 3 * ADMIN_LIMIT):
        machine.run(f"nvme reset {programmed.device}", check=False)
    assert device.met() == 1
    assert said(machine, "the controller is given up", start) == 1
    device.clear()
    assert rebind(programmed, driver) == 0
    check_works(machine, programmed)
