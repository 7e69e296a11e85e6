# SPDX-License-Identifier: GPL-2.0
"""Devices that disappear at some command.

The driver simulates the faults.
"""

import errno

import pytest

from faults.checks import ADMIN_LIMIT, IO_LIMIT, check_works, now, rebind, said, within
from faults.rules import MANAGE, WRITE, Faults
from guest.errors import CommandFailed
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("skip", (0, 2, 5, 8, 11, 14))
def test_gone_while_probed(machine: Machine, driver: Driver,
                           function: PhysicalFunction, faults: Faults,
                           skip: int) -> None:
    function.unbind()
    faults.command(f"gone skip={skip}")
    with within(machine, 3 * ADMIN_LIMIT):
        # The probe cannot fail any more once the controller is live.
        assert function.bind(driver.name) in (0, errno.ENODEV)
    assert faults.left() == [0]
    assert not function.controller or function.controller.state != "live"
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.essential
def test_gone(machine: Machine, driver: Driver, function: PhysicalFunction,
              faults: Faults) -> None:
    """If a device disappears under I/O or in a reset, I/O fails in time."""
    device = disk(machine, function.live(), 1)
    faults.command(f"gone queue=io opcode={WRITE} skip=8")
    with within(machine, 4 * IO_LIMIT):
        with pytest.raises(CommandFailed):
            fio(machine, device, size="512k")
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)

    for skip in (0, 4, 7):
        start = now(machine)
        name = function.device
        faults.command(f"gone skip={skip}")
        with within(machine, 4 * ADMIN_LIMIT):
            machine.run(f"nvme reset {name}", check=False)
        assert faults.left() == [0]
        assert said(machine, "the controller is given up", start) == 1
        with within(machine, 4 * ADMIN_LIMIT):
            function.unbind()
        faults.clear()
        assert function.bind(driver.name) == 0
        check_works(machine, function)


@pytest.mark.parametrize("skip", (0, 5, 8, 11))
def test_gone_while_vfs_are_enabled(machine: Machine, driver: Driver,
                                    function: PhysicalFunction, faults: Faults,
                                    skip: int) -> None:
    """If a device disappears while VFs are being enabled, no VF is left."""
    faults.command(f"gone opcode={MANAGE} skip={skip}")
    with within(machine, 6 * ADMIN_LIMIT):
        assert function.set_vfs(4) in (errno.EIO, errno.ENODEV, errno.EINTR)
    assert faults.left() == [0]
    assert not function.vfs
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)
    assert function.set_vfs(4) == 0
    for vf in function.vfs:
        vf.live()
    assert function.set_vfs(0) == 0
