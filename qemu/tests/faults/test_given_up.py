# SPDX-License-Identifier: GPL-2.0
"""A controller that cannot be brought back is dead, and stays until it is removed.

Its disks stay with a size of 0, so that a process that has one open gets errors and not
another disk.
"""

import pytest

from faults.checks import (
    ADMIN_LIMIT, IO_LIMIT, check_given_up, check_unreadable, check_works, rebind, within,
)
from faults.commands import IDENTIFY, IDENTIFY_CONTROLLER
from faults.port import cut_off
from faults.rules import Faults
from guest.machine import Machine
from subject.disks import disk, private_disks
from subject.driver import Driver, nvme_core
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command

COMMAND = 0x04
"""The offset of the Command register."""
MEMORY_AND_MASTER = 0x06
"""The bits of the register for memory space and bus mastering."""


def set_command(function: PhysicalFunction, value: int) -> str:
    """Returns the command line that writes a function's Command register."""
    return (rf"printf '\x{value:02x}' |"
            f" dd of={function.sysfs}/config bs=1 seek={COMMAND} conv=notrunc 2> /dev/null")


def test_disabled_and_enabled(machine: Machine, driver: Driver,
                              function: PhysicalFunction) -> None:
    """The device is disabled and enabled behind the driver's back, under I/O.

    The outcome depends on timing: the controller works in the end, or is given up.
    """
    controller = function.live()
    device = disk(machine, controller, 1)
    process = machine.spawn(fio_command(
        device, rw="randread", verify=0, time_based=1, runtime=10))
    with within(machine, 10 + 6 * IO_LIMIT):
        machine.run(f"""
            while [ -d /proc/{process} ]; do
                {set_command(function, 0)}; sleep 0.2
                {set_command(function, MEMORY_AND_MASTER)}; sleep 0.2
            done""", 10 + 6 * IO_LIMIT)
    failed = machine.finish(process) != 0
    state = machine.wait_for(
        lambda: (found := function.controller) and found.state in ("live", "dead")
        and found.state, "end of the last reset", 3 * ADMIN_LIMIT)
    if state == "dead":
        check_given_up(machine, function)
        assert rebind(function, driver) == 0
    else:
        assert not failed
    check_works(machine, function)


def check_cut_off(machine: Machine, driver: Driver,
                  function: PhysicalFunction) -> None:
    """Checks that I/O to an unreachable device fails in time, and that the driver can be
    unbound and bound again."""
    device = disk(machine, function.live(), 1)
    process = machine.spawn(fio_command(device, time_based=1, runtime=120))
    machine.run("sleep 1")
    with cut_off(machine, function):
        with within(machine, 4 * IO_LIMIT):
            assert machine.finish(process, 4 * IO_LIMIT) != 0
        check_given_up(machine, function)
        check_unreadable(machine, device)
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.essential
def test_cut_off(machine: Machine, driver: Driver, function: PhysicalFunction) -> None:
    """I/O does not wait for a path that is gone for good.

    The kernel's own driver fails this: nvme-core holds requests that had no path during
    the reset, and the driver does not make it resubmit them.
    """
    check_cut_off(machine, driver, function)


def test_cut_off_without_multipath(machine: Machine, driver: Driver,
                                   function: PhysicalFunction) -> None:
    with nvme_core(machine, driver, f"multipath=N io_timeout={IO_LIMIT}"
                                    f" admin_timeout={ADMIN_LIMIT}"):
        check_cut_off(machine, driver, function)


@pytest.mark.faults
def test_reset_fails_with_vfs(machine: Machine, driver: Driver,
                              function: PhysicalFunction, faults: Faults) -> None:
    """VFs have no resources without their PF, so they are given up with it."""
    assert function.set_vfs(2) == 0
    disks = private_disks(machine, function)
    vfs = function.vfs
    process = machine.spawn(fio_command(*disks, time_based=1, runtime=120))
    machine.run("sleep 1")
    faults.command(f"lose opcode={IDENTIFY} dword10={IDENTIFY_CONTROLLER} count=100")
    with within(machine, 6 * ADMIN_LIMIT):
        assert machine.run(f"nvme reset {function.device}", check=False).rc
        assert machine.finish(process, 6 * ADMIN_LIMIT) != 0
        for lost in (function, *vfs):
            check_given_up(machine, lost)
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)
    assert not function.vfs
    assert function.set_vfs(2) == 0
    fio(machine, *private_disks(machine, function), size="1m")
    assert function.set_vfs(0) == 0
