# SPDX-License-Identifier: GPL-2.0
"""Invalid data about VFs, and Virtualization Management commands that fail.

The driver simulates the faults.
"""

import errno

import pytest

from faults.checks import check_works
from faults.commands import IDENTIFY, MANAGE, PRIMARY_CAPABILITIES, SECONDARY_LIST
from faults.rules import Faults
from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction

pytestmark = pytest.mark.faults


VQ, VI = 32, 64
"""The offsets of queues and interrupts in Primary Controller Capabilities."""


@pytest.mark.parametrize("fields, code", [
    ([f"data=0xffffffff at={VQ} size=4", f"data=0xffff at={VQ + 12} size=2"],
     errno.ENOSPC),                                             # totals, limits
    ([f"data=0 at={VQ} size=4"], errno.ENOSPC),
    ([f"data=0xffff at={VI + 8} size=2"], errno.ENOSPC),        # the PF's share
    ([f"data=1 at={VQ + 12} size=2"], errno.ENOSPC),            # less than needed
    ([f"data=0 at={VQ + 12} size=2", f"data=0 at={VI + 12} size=2"], 0),
    ([f"data=0 at={VQ + 14} size=2", f"data=0 at={VI + 14} size=2"], 0),
    ([f"data=0xffff at={VQ + 14} size=2"], 0),                  # granularity
    ([f"data=0xffff at={VQ + 10} size=2"], 0),                  # private > total
], ids=["totals", "nothing", "all is the PF's", "limit", "no limit",
        "granularity=0", "granularity=all", "private"])
def test_primary_capabilities(machine: Machine, function: PhysicalFunction,
                              faults: Faults, fields: list[str], code: int) -> None:
    faults.command(*(f"{field} opcode={IDENTIFY} dword10={PRIMARY_CAPABILITIES}"
                     for field in fields))
    check_refused_or_live(machine, function, faults, code)


def entry(index: int, offset: int, value: int, size: int = 2) -> str:
    """Returns the rule that changes a field in an entry of the Secondary Controller List."""
    return f"data={value} at={32 + 32 * index + offset} size={size}"


@pytest.mark.parametrize("fields, code", [
    (["data=0 at=0"], errno.ENXIO),
    (["data=2 at=0"], errno.ENXIO),
    (["data=255 at=0"], 0),
    ([entry(1, 0, 1)], errno.EIO),              # the same controller twice
    ([entry(1, 0, 0)], errno.EIO),              # the primary controller itself
    ([entry(1, 8, 1)], errno.ENXIO),            # the same VF twice
    ([entry(1, 8, 0xffff)], errno.ENXIO),       # VF number out of range
    ([entry(7, 10, 0xffff)], errno.ENOSPC),     # held by others
    ([entry(1, 10, 0xffff), entry(1, 4, 1, 1)], 0),  # left from before
], ids=["none", "too few", "too many", "same controller", "primary", "same VF",
        "VF out of range", "held", "stale"])
def test_secondary_list(machine: Machine, function: PhysicalFunction,
                        faults: Faults, fields: list[str], code: int) -> None:
    faults.command(*(f"{field} opcode={IDENTIFY} dword10={SECONDARY_LIST}"
                     for field in fields))
    check_refused_or_live(machine, function, faults, code)


@pytest.mark.parametrize("status, code", [
    (0x11f, errno.ENXIO), (0x120, errno.EBUSY), (0x121, errno.ENOSPC)])
@pytest.mark.parametrize("skip", (0, 7, 8, 11))
def test_refused_management(machine: Machine, function: PhysicalFunction,
                            faults: Faults, skip: int, status: int,
                            code: int) -> None:
    """If Virtualization Management fails half-way, the driver undoes the earlier commands."""
    faults.command(f"status={status} opcode={MANAGE} skip={skip}")
    check_refused_or_live(machine, function, faults, code)


def check_refused_or_live(machine: Machine, function: PhysicalFunction,
                          faults: Faults, code: int) -> None:
    """Checks that enabling four VFs fails with an errno, or, for 0, makes them live.

    A failure must leave no trace: without faults, the VFs are live.
    """
    assert function.set_vfs(4) == code
    assert not any(faults.left())
    faults.clear()
    if code:
        assert not function.vfs
        assert all(held["secondary-controller-state"] == 0
                   and held["num-virtual-queues"] == 0
                   and held["num-virtual-interrupts"] == 0
                   for held in function.secondaries())
        assert function.set_vfs(4) == 0
    for vf in function.vfs:
        assert vf.live().io_queues == 4
    assert function.set_vfs(0) == 0
    check_works(machine, function)


def test_total_vfs(machine: Machine, driver: Driver, function: PhysicalFunction,
                   faults: Faults) -> None:
    """A function that claims 65535 VFs gets folders for as many as a Secondary Controller
    List can have."""
    listed = f"ls {function.sysfs}/nvme_sriov | grep -c ^vf"
    assert machine.run(listed).out.strip() == str(machine.shape.vfs)
    function.unbind()
    faults.total_vfs(0xffff)
    assert function.bind(driver.name) == 0
    assert machine.run(listed).out.strip() == "127"
    function.unbind()
    faults.clear()
    assert function.bind(driver.name) == 0
    check_works(machine, function)
