# SPDX-License-Identifier: GPL-2.0
"""SR-IOV: enabling, using and disabling virtual functions."""

import errno

import pytest

from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID
from subject.controllers import controllers, interrupts
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.pool import check_online, check_vfs_gone

MODULE_PARAMETER = "sriov_vfs"
TOTAL_VFS = 8

pytestmark = pytest.mark.usefixtures("pool_intact")


def check_vfs(pf: PhysicalFunction, count: int) -> None:
    """Checks that ``count`` VFs are enabled, online and live, and have I/O queues."""
    assert pf.num_vfs == count
    assert len(pf.vfs) == count
    check_online(pf, count)
    for vf in pf.vfs:
        assert vf.live().io_queues >= 1


def check_io(machine: Machine, pf: PhysicalFunction) -> None:
    """Verifies I/O on all VFs at once, each with a namespace of its own."""
    disks = private_disks(machine, pf)
    users = [vf.live() for vf in pf.vfs]
    before = [interrupts(machine, user) for user in users]
    fio(machine, *disks, size="1m")
    after = [interrupts(machine, user) for user in users]
    for one, other in zip(before, after, strict=True):
        assert sum(one.values()) < sum(other.values())


def test_four_none_eight_none(machine: Machine, pf: PhysicalFunction) -> None:
    initial = pf.secondaries(), pf.capabilities()
    for count in (4, 8):
        assert pf.set_vfs(count) == 0
        check_vfs(pf, count)
        check_io(machine, pf)
        assert pf.set_vfs(0) == 0
        assert not pf.vfs
        assert (pf.secondaries(), pf.capabilities()) == initial


@pytest.mark.parametrize("count", [1, 3, 7])
def test_other_counts(pf: PhysicalFunction, count: int) -> None:
    assert pf.set_vfs(count) == 0
    check_vfs(pf, count)


def test_pf_serves_io_beside_vfs(machine: Machine, pf: PhysicalFunction) -> None:
    assert pf.set_vfs(4) == 0
    private = FIRST_PRIVATE_NSID + TOTAL_VFS - 1
    pf.attach(private, pf.live().cntlid)
    fio(machine, disk(machine, pf.live(), private))
    pf.detach(private, pf.live().cntlid)


@pytest.mark.essential
def test_unload_with_vfs(machine: Machine, driver: Driver,
                         pf: PhysicalFunction) -> None:
    for _ in range(2):
        assert pf.set_vfs(4) == 0
        check_vfs(pf, 4)
        driver.unload()
        assert not controllers(machine)
        assert not pf.vfs
        driver.load()
        pf.live()
        assert pf.num_vfs == 0
        check_vfs_gone(pf)


def test_unbind_pf_with_vfs(machine: Machine, driver: Driver,
                            pf: PhysicalFunction) -> None:
    assert pf.set_vfs(4) == 0
    check_vfs(pf, 4)
    pf.unbind()
    assert not pf.vfs
    assert pf.bind(driver.name) == 0
    pf.live()
    check_vfs_gone(pf)
    assert pf.set_vfs(4) == 0
    check_vfs(pf, 4)


def test_unbind_and_bind_vf(machine: Machine, driver: Driver,
                            pf: PhysicalFunction) -> None:
    assert pf.set_vfs(4) == 0
    vf = pf.vfs[2]
    vf.live()
    vf.unbind()
    assert vf.controller is None
    check_online(pf, 4)
    assert vf.bind(driver.name) == 0
    check_vfs(pf, 4)
    check_io(machine, pf)


def test_reset_vf(machine: Machine, pf: PhysicalFunction) -> None:
    assert pf.set_vfs(2) == 0
    for vf in pf.vfs:
        machine.run(f"nvme reset /dev/{vf.probed().name}")
        vf.live()
    check_vfs(pf, 2)
    check_io(machine, pf)


def test_module_parameter(machine: Machine, driver: Driver,
                          pf: PhysicalFunction) -> None:
    driver.unload()
    driver.load(f"{MODULE_PARAMETER}=4")
    try:
        pf.live()
        machine.wait_for(lambda: len(pf.vfs) == 4, "four VFs")
        check_vfs(pf, 4)
    finally:
        driver.unload()
        driver.load()


@pytest.mark.parametrize("value, expected", [
    ("abc", errno.EINVAL),
    ("-1", errno.EINVAL),
    (TOTAL_VFS + 1, errno.ERANGE),
])
def test_bad_count(pf: PhysicalFunction, value: object, expected: int) -> None:
    assert pf.set_vfs(value) == expected
    assert not pf.vfs


def test_count_while_enabled(pf: PhysicalFunction) -> None:
    assert pf.set_vfs(2) == 0
    assert pf.set_vfs(4) == errno.EBUSY
    check_vfs(pf, 2)


def test_interrupts_of_one_vf(machine: Machine, driver: Driver,
                              pf: PhysicalFunction) -> None:
    """The PCI core's interface sets the interrupts of a VF, and its queues with them."""
    assert machine.read(f"{pf.sysfs}/sriov_vf_total_msix") == "24"
    assert pf.set_vfs(4) == 0
    assert pf.resources()[:4] == [(6, 6)] * 4
    first, second = pf.vfs[:2]
    first.live()
    assert first.write("sriov_vf_msix_count", 2) == errno.EBUSY

    for vf, count in ((first, 2), (second, 3)):
        vf.live()
        vf.unbind()
        assert vf.write("sriov_vf_msix_count", count) == 0
    assert pf.resources()[:4] == [(2, 2), (3, 3), (6, 6), (6, 6)]
    assert first.bind(driver.name) == second.bind(driver.name) == 0
    assert [vf.live().io_queues for vf in (first, second)] == [1, 2]
    check_io(machine, pf)

    # VFs keep their settings when they are disabled and enabled; others share the rest.
    assert pf.set_vfs(0) == 0
    assert pf.set_vfs(8) == 0
    assert pf.resources() == [(2, 2), (3, 3), (4, 4)] + [(3, 3)] * 5
    check_io(machine, pf)

    # Too many for any VF, too many for the pool: nothing changes.
    third = pf.vfs[2]
    third.live()
    third.unbind()
    assert third.write("sriov_vf_msix_count", 7) == errno.EINVAL
    assert third.write("sriov_vf_msix_count", 6) == errno.ENOSPC
    assert pf.resources()[2] == (4, 4)
    assert third.bind(driver.name) == 0
    third.live()

    # 0 is the default again.
    assert pf.set_vfs(0) == 0
    assert pf.set_vfs(2) == 0
    for vf in pf.vfs:
        vf.live()
        vf.unbind()
        assert vf.write("sriov_vf_msix_count", 0) == 0
    assert pf.set_vfs(0) == 0
    assert pf.set_vfs(4) == 0
    assert pf.resources()[:4] == [(6, 6)] * 4
