# SPDX-License-Identifier: GPL-2.0
"""Devices that misbehave, and how the driver comes through it.

Whatever the device does, nobody waits without a limit, the log and an errno say
what was wrong, and the next try on a sane device works. The tests that use
``faults`` need a driver that makes them up; the others have them from QEMU.
"""

import errno
import re
import time
from collections.abc import Iterator

import pytest

from faults import Faults
from machine import Machine, Shape
from nvme import (
    Driver, PhysicalFunction, disk, fio, physical_functions,
)

IO_LIMIT = 4
"""Seconds after which an I/O command times out."""
ADMIN_LIMIT = 4
"""Seconds after which an admin command times out."""

WRITE, READ = 0x01, 0x02
"""I/O commands."""
CREATE_SQ, CREATE_CQ, GET_LOG, IDENTIFY, SET_FEATURES, MANAGE = (
    0x01, 0x05, 0x02, 0x06, 0x09, 0x1c)
"""Admin commands."""
PRIMARY_CAPABILITIES, SECONDARY_LIST, IDENTIFY_CONTROLLER = 0x14, 0x15, 0x01
"""What Identify returns (CNS)."""
NUMBER_OF_QUEUES = 0x07
"""A feature."""
RDY, CFS, ALL_ONES = 1, 2, 0xffff_ffff
"""Of Controller Status."""


def said(machine: Machine, pattern: str) -> int:
    """How often the log of this test has a line that matches."""
    machine.sync_log()
    return len(re.findall(pattern, machine.log.window()))


@pytest.fixture
def limits(machine: Machine, driver: Driver) -> Iterator[None]:
    """Short time limits, for controllers probed from now on."""
    parameters = "/sys/module/nvme_core/parameters"
    before = machine.run(
        f"cd {parameters}; cat io_timeout admin_timeout").out.split()
    set_limits = (f"cd {parameters}; echo {{}} > io_timeout;"
                  " echo {} > admin_timeout")
    machine.run(set_limits.format(IO_LIMIT, ADMIN_LIMIT))
    yield
    machine.run(set_limits.format(*before))


@pytest.fixture
def function(machine: Machine, driver: Driver, limits: None) -> PhysicalFunction:
    """The first physical function, newly bound, with short time limits."""
    found = physical_functions(machine)[0]
    if found.driver:
        found.unbind()
    assert found.bind(driver.name) == 0
    found.live()
    return found


@pytest.fixture
def faults(machine: Machine, function: PhysicalFunction) -> Iterator[Faults]:
    """Faults of the devices, none at first, and none afterwards."""
    found = Faults(machine)
    if not found.available:
        pytest.skip("this driver cannot make up faults: its kernel has no"
                    " CONFIG_FAULT_INJECTION_DEBUG_FS")
    found.clear()
    yield found
    if machine.alive:
        found.clear()


def read_block(device: str) -> str:
    """The command line that reads the first block of a disk."""
    return f"dd if={device} of=/dev/null bs=4k count=1 iflag=direct"


def on_every_cpu(machine: Machine, command: str) -> None:
    """Runs a command on each CPU in turn, and so on each queue."""
    machine.run(f"for cpu in $(seq 0 {machine.shape.cpus - 1});"
                f" do taskset -c $cpu {command} || exit 1; done")


def check_works(machine: Machine, function: PhysicalFunction,
                io_queues: int | None = None) -> None:
    """Checks that a function serves I/O, on as many queues as there are CPUs."""
    controller = function.live()
    wanted = machine.shape.cpus if io_queues is None else io_queues
    assert controller.io_queues == wanted
    device = disk(machine, controller, 1)
    on_every_cpu(machine, read_block(device))
    fio(machine, device, size="512k")


def rebind(function: PhysicalFunction, driver: Driver) -> int:
    """Unbinds the function, if it is bound, and returns the errno of binding."""
    if function.driver:
        function.unbind()
    return function.bind(driver.name)


# Completions of I/O commands.


def test_missed_interrupt(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """The time limit finds what the interrupt did not tell of."""
    device = disk(machine, function.live(), 1)
    faults.command(f"missed queue=io opcode={READ}")
    machine.run(read_block(device))
    assert faults.left() == [0]
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "aborting|resetting|dropped")
    check_works(machine, function)


def test_lost_io(machine: Machine, function: PhysicalFunction,
                 faults: Faults) -> None:
    """First Abort, then a reset: the commands are sent again, the data is right."""
    device = disk(machine, function.live(), 1)
    # Rings that have gone round, so that the poll finds old entries all over.
    fio(machine, device, size="16m", verify=0)
    faults.command(f"lose queue=io opcode={WRITE} skip=8 count=2")
    fio(machine, device, size="512k")
    assert faults.left() == [0]
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") >= 1
    assert not said(machine, "no interrupt came|dropped")
    check_works(machine, function)


def test_lost_by_the_block_layer(machine: Machine,
                                 function: PhysicalFunction) -> None:
    """The block layer's own way to lose completions reaches ours."""
    device = disk(machine, function.live(), 1)
    path = f"/sys/block/{device[5:].replace('n', 'n', 1)}"
    queue = machine.run(
        f"ls -d /sys/class/nvme/{function.live().name}/nvme*n1").out.strip()
    knob = f"{queue}/io-timeout-fail"
    if machine.run(f"test -e {knob}", check=False).rc:
        pytest.skip(f"{path}: this kernel has no CONFIG_FAIL_IO_TIMEOUT")
    machine.run("cd /sys/kernel/debug/fail_io_timeout; echo 100 > probability;"
                f" echo 1 > times; echo 0 > verbose; echo 1 > {knob}")
    machine.run(read_block(device))
    machine.run(f"echo 0 > {knob}; echo 0 > /sys/kernel/debug/fail_io_timeout/probability")
    assert said(machine, "no answer; aborting it") == 1
    assert said(machine, "no answer; resetting the controller") == 1
    check_works(machine, function)


def test_false_completions(machine: Machine, function: PhysicalFunction,
                           faults: Faults) -> None:
    """What no command waits for is dropped, and what one waits for counts."""
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


def test_late_after_abort(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """A command that is slow, not lost, completes although it was aborted."""
    device = disk(machine, function.live(), 1)
    faults.command(f"late queue=io opcode={READ}")
    process = machine.spawn(read_block(device))
    machine.wait_for(lambda: "aborting it" in machine.log.window(), "Abort")
    faults.release()
    on_every_cpu(machine, read_block(device))
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
    """An error that may be retried is, and one that may not reaches the user."""
    device = disk(machine, function.live(), 1)
    internal, do_not_retry = 0x06, 0x4000
    faults.command(f"status={internal} queue=io opcode={READ}")
    machine.run(read_block(device))
    faults.command(f"status={internal | do_not_retry} queue=io opcode={READ}")
    assert machine.run(read_block(device), check=False).rc
    assert faults.left() == [0, 0]
    check_works(machine, function)


# Completions of admin commands.


def test_lost_admin(machine: Machine, function: PhysicalFunction,
                    faults: Faults) -> None:
    """An admin command that is lost costs a reset, and only itself."""
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
