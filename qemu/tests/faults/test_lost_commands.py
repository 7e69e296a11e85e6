# SPDX-License-Identifier: GPL-2.0
"""Commands whose completion is lost, late or false.

The driver simulates the faults.
"""

import errno

import pytest

from faults.checks import (
    ADMIN_LIMIT, ENODEV, IO_LIMIT, check_works, now, read_block, rebind, said, within,
)
from faults.rules import (
    ABORT, CREATE_CQ, CREATE_SQ, GET_LOG, IDENTIFY, IDENTIFY_CONTROLLER, NUMBER_OF_QUEUES,
    READ, SET_FEATURES, WRITE, Faults,
)
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver, nvme_core
from subject.functions import PhysicalFunction
from subject.io import fio

pytestmark = pytest.mark.faults


def test_missed_interrupt(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """The timeout handler finds a completion whose interrupt was lost."""
    device = disk(machine, function.live(), 1)
    faults.command(f"missed queue=io opcode={READ}")
    machine.run(read_block(device))
    assert faults.left() == [0]
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "aborting|resetting|dropped")
    check_works(machine, function)


@pytest.mark.essential
def test_lost_io(machine: Machine, function: PhysicalFunction,
                 faults: Faults) -> None:
    """The driver sends Abort, then resets. The commands are sent again, the data is right."""
    device = disk(machine, function.live(), 1)
    # Rings that have wrapped, so that the poll sees old entries everywhere.
    fio(machine, device, size="16m", verify=0)
    faults.command(f"lose queue=io opcode={WRITE} skip=8 count=2")
    fio(machine, device, size="512k")
    assert faults.left() == [0]
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") >= 1
    assert not said(machine, "no interrupt came|dropped")
    check_works(machine, function)


def test_few_aborts_at_a_time(machine: Machine, function: PhysicalFunction,
                              faults: Faults) -> None:
    """The controller permits four Aborts at a time (ACL); other commands have to wait."""
    device = disk(machine, function.live(), 1)
    faults.command(f"lose queue=io opcode={WRITE} count=6",
                   f"lose queue=admin opcode={ABORT} count=100")
    fio(machine, device, size="24k", iodepth=6)
    assert faults.left()[0] == 0
    assert said(machine, "no answer; aborting it") == 4
    assert said(machine, "no answer; resetting the controller") >= 1
    assert not said(machine, "no Abort command could be sent")
    check_works(machine, function)


def test_lost_again(machine: Machine, function: PhysicalFunction,
                    faults: Faults) -> None:
    """Multipath sends a command again until it succeeds."""
    device = disk(machine, function.live(), 1)
    faults.command(f"lose queue=io opcode={READ} count=2")
    machine.run(read_block(device))
    assert faults.left() == [0]
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") == 2
    check_works(machine, function)


@pytest.mark.essential
def test_lost_for_good(machine: Machine, driver: Driver, function: PhysicalFunction,
                       faults: Faults) -> None:
    """Without multipath, I/O fails after a reset that did not help."""
    with nvme_core(machine, driver, "multipath=N"):
        function.live()
        device = disk(machine, function.live(), 1)
        limit = f"/sys/class/nvme/{function.live().name}/io_timeout"
        machine.run(f"echo {1000 * IO_LIMIT} > {limit}")
        faults.command(f"lose queue=io opcode={READ} count=1000")
        with within(machine, 5 * IO_LIMIT):
            assert machine.run(read_block(device), check=False).rc
        assert said(machine, "no answer; aborting it") == 1
        assert said(machine, "no answer; resetting the controller") == 1
        assert said(machine, "no answer while starting") == 1
        assert said(machine, "the controller is given up") == 1
    check_works(machine, function)


def test_lost_by_the_block_layer(machine: Machine,
                                 function: PhysicalFunction) -> None:
    """A completion that the block layer's fault injection drops causes Abort and a reset."""
    device = disk(machine, function.live(), 1)
    queue = machine.run(
        f"ls -d /sys/class/nvme/{function.live().name}/nvme*n1").out.strip()
    knob = f"{queue}/io-timeout-fail"
    if machine.run(f"test -e {knob}", check=False).rc:
        pytest.skip("this kernel has no CONFIG_FAIL_IO_TIMEOUT")
    machine.run("cd /sys/kernel/debug/fail_io_timeout; echo 100 > probability;"
                f" echo 1 > times; echo 0 > verbose; echo 1 > {knob}")
    machine.run(read_block(device))
    machine.run(f"echo 0 > {knob}; echo 0 > /sys/kernel/debug/fail_io_timeout/probability")
    assert said(machine, "no answer; aborting it") == 1
    assert said(machine, "no answer; resetting the controller") == 1
    check_works(machine, function)


def test_false_completions(machine: Machine, function: PhysicalFunction,
                           faults: Faults) -> None:
    """The driver drops completions for which no command waits, and takes the right one."""
    device = disk(machine, function.live(), 1)
    for name in ("twice", "stray", "generation"):
        faults.command(f"{name} queue=io opcode={READ}")
        machine.run(read_block(device))
        faults.command(f"{name} queue=admin opcode={GET_LOG}")
        machine.run(f"nvme smart-log {function.device}")
        assert not any(faults.left())
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 3
    assert said(machine, "queue 0: .* dropped") == 3
    assert not said(machine, "aborting|resetting")
    check_works(machine, function)


def test_endless_completions(machine: Machine, function: PhysicalFunction,
                             faults: Faults) -> None:
    """A controller that posts completions without end does not keep the interrupt handler,
    or a stop of the controller, from coming to an end."""
    device = disk(machine, function.live(), 1)
    faults.command(f"flood queue=io opcode={READ}", f"flood opcode={GET_LOG}")
    machine.run(read_block(device))
    machine.run(f"nvme smart-log {function.device}")
    assert not any(faults.left())
    # Eight are reported of each queue.
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 8
    assert said(machine, "queue 0: .* dropped") == 8
    function.unbind()
    faults.clear()
    assert function.bind("nvme_rs") == 0
    check_works(machine, function)


def test_late_after_abort(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """A command that is late, not lost, completes although an Abort was sent."""
    device = disk(machine, function.live(), 1)
    faults.command(f"late queue=io opcode={READ}")
    process = machine.spawn(f"taskset -c 0 {read_block(device)}")
    machine.wait_for(lambda: "aborting it" in machine.log.window(), "Abort")
    faults.release()
    machine.run(f"taskset -c 0 {read_block(device)}")
    assert machine.finish(process) == 0
    assert not said(machine, "resetting|dropped")
    check_works(machine, function)


def test_late_after_reset(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """Completions from before a reset complete nothing after it."""
    device = disk(machine, function.live(), 1)
    faults.command(f"late queue=io opcode={READ}",
                   f"late queue=admin opcode={GET_LOG}")
    machine.run(read_block(device))
    assert said(machine, "resetting the controller") == 1
    function.live()
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert said(machine, "resetting the controller") == 2
    assert faults.left() == [0, 0]
    faults.release()
    check_works(machine, function)
    machine.run(f"nvme smart-log {function.device}")
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 1
    assert said(machine, "queue 0: .* dropped") == 1


def test_errors_of_commands(machine: Machine, function: PhysicalFunction,
                            faults: Faults) -> None:
    """A command with a retryable error is retried; another error reaches the user."""
    device = disk(machine, function.live(), 1)
    internal, do_not_retry = 0x06, 0x4000
    faults.command(f"status={internal} queue=io opcode={READ}")
    machine.run(read_block(device))
    faults.command(f"status={internal | do_not_retry} queue=io opcode={READ}")
    assert machine.run(read_block(device), check=False).rc
    assert faults.left() == [0, 0]
    check_works(machine, function)


def test_lost_admin(machine: Machine, function: PhysicalFunction,
                    faults: Faults) -> None:
    """A lost admin command fails, and causes a reset."""
    faults.command(f"missed queue=admin opcode={GET_LOG}")
    machine.run(f"nvme smart-log {function.device}")
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "resetting")

    faults.command(f"lose queue=admin opcode={GET_LOG}")
    result = machine.run(f"nvme smart-log {function.device}", check=False)
    assert result.rc
    assert faults.left() == [0, 0]
    assert said(machine, "resetting the controller") == 1
    check_works(machine, function)


def test_lost_while_starting(machine: Machine, driver: Driver,
                             function: PhysicalFunction, faults: Faults) -> None:
    """A controller that stops answering while it is probed, or reset, is given up."""
    for rule in (f"opcode={IDENTIFY} dword10={IDENTIFY_CONTROLLER}",
                 f"opcode={SET_FEATURES} dword10={NUMBER_OF_QUEUES}",
                 f"opcode={CREATE_CQ}", f"opcode={CREATE_SQ} skip=1"):
        function.unbind()
        start = now(machine)
        faults.command(f"lose {rule}")
        with within(machine, 3 * ADMIN_LIMIT):
            assert function.bind(driver.name) == errno.ENODEV, rule
        assert not function.controller
        assert faults.left() == [0]
        assert said(
            machine, f"the controller cannot be started: {ENODEV}", start) == 1, rule
        faults.clear()
        assert function.bind(driver.name) == 0
        check_works(machine, function)

        faults.command(f"lose {rule}")
        with within(machine, 3 * ADMIN_LIMIT):
            machine.run(f"nvme reset {function.device}", check=False)
        assert faults.left() == [0]
        assert said(machine, "the controller is given up", start) == 1, rule
        faults.clear()
        assert rebind(function, driver) == 0
        check_works(machine, function)
