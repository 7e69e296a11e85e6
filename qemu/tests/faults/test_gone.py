# SPDX-License-Identifier: GPL-2.0
"""Devices that disappear while VFs are enabled.

The driver simulates the faults.
"""

import errno

import pytest

from faults.checks import ADMIN_LIMIT, check_works, rebind, within
from faults.commands import MANAGE
from faults.rules import Faults
from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction

pytestmark = pytest.mark.faults


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
