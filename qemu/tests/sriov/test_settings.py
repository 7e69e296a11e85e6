# SPDX-License-Identifier: GPL-2.0
"""The settings of virtual functions, in the folder nvme_sriov."""

import errno
import re
from collections.abc import Callable

import pytest

from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.disks import disk, no_disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, attached
from subject.io import fio
from subject.messages import said

TOTAL_VFS = 8
PRIVATE = Shape(shared=False)

pytestmark = pytest.mark.usefixtures("pool_intact", "defaults")


def follows(pf: PhysicalFunction, condition: Callable[[], bool]) -> None:
    """Waits until sysfs shows the effect of a user's command. Reads show what the driver has
    read last, and it reads again a few milliseconds after the command."""
    pf.machine.wait_for(condition, "sysfs to follow", 5)


def test_pool(pf: PhysicalFunction) -> None:
    expected = {"total": 24, "primary": 0, "assigned": 0, "free": 24, "vf_max": 6,
                "granularity": pf.capabilities()["vqgran"]}
    assert pf.pool("queues") == pf.pool("interrupts") == expected
    assert pf.set_vfs(3) == 0
    expected |= {"assigned": 18, "free": 6}
    assert pf.pool("queues") == pf.pool("interrupts") == expected


def test_states(pf: PhysicalFunction) -> None:
    def states() -> list[str]:
        return [pf.setting(vf, "state") for vf in range(TOTAL_VFS)]

    assert states() == ["offline"] * TOTAL_VFS
    assert pf.set_vfs(2) == 0
    assert states() == ["online"] * 2 + ["offline"] * 6
    for vf, function in enumerate(pf.vfs):
        assert int(pf.setting(vf, "cntlid")) == function.live().cntlid
        assert pf.setting(vf, "assigned_queues") == "6"
        assert pf.setting(vf, "assigned_interrupts") == "6"
    assert pf.setting(2, "assigned_queues") == "0"


@pytest.mark.essential
def test_resources_outlive_vfs(machine: Machine, pf: PhysicalFunction) -> None:
    """Settings can be made before VFs are enabled, and survive disabling and PF resets."""
    assert pf.set(0, "queues", 2) == pf.set(1, "queues", 6) == 0
    assert pf.set(1, "interrupts", 3) == pf.set(3, "interrupts", 1) == 0
    assert [pf.setting(1, name) for name in ("queues", "interrupts")] == ["6", "3"]
    expected = [(2, 2), (6, 3), (6, 6), (2, 1)]
    assert pf.set_vfs(4) == 0
    assert pf.resources()[:4] == expected
    assert [vf.probed().io_queues for vf in pf.vfs] == [1, 2, 4, 1]
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    assert pf.resources()[:4] == expected
    for vf in pf.vfs:
        vf.live()
    assert pf.set_vfs(0) == 0
    assert pf.set_vfs(4) == 0
    assert pf.resources()[:4] == expected


def test_resources_of_an_enabled_vf(driver: Driver, pf: PhysicalFunction) -> None:
    assert pf.set_vfs(4) == 0
    vf = pf.vfs[1]
    vf.live()
    assert pf.set(1, "queues", 3) == errno.EBUSY
    vf.unbind()
    assert pf.set(1, "queues", 3) == 0
    assert pf.resources()[:4] == [(6, 6), (3, 6), (6, 6), (6, 6)]
    assert pf.set(1, "interrupts", 2) == 0
    assert pf.resources()[1] == (3, 2)
    assert vf.bind(driver.name) == 0
    assert vf.live().io_queues == 1
    # The VF gets no equal share, but the rest of the pool.
    vf.unbind()
    assert pf.set(1, "queues", 0) == pf.set(1, "interrupts", 0) == 0
    assert pf.resources()[:4] == [(6, 6), (2, 2), (6, 6), (6, 6)]
    assert vf.bind(driver.name) == 0
    assert pf.set_vfs(0) == 0
    assert pf.set_vfs(4) == 0
    assert pf.resources()[:4] == [(6, 6)] * 4


@pytest.mark.parametrize("name, value", [
    ("queues", "many"), ("queues", -1), ("queues", 65536),
    ("queues", 1),  # The minimum is an admin and an I/O queue.
    ("queues", 7), ("interrupts", 7),
    ("namespaces", "1 x"), ("namespaces", 0), ("namespaces", 0xffffffff),
    ("namespaces", "2 3 2"),
])
def test_bad_values(pf: PhysicalFunction, name: str, value: object) -> None:
    before = pf.setting(0, name)
    assert pf.set(0, name, value) == errno.EINVAL
    assert pf.setting(0, name) == before


def test_settings_beyond_the_pool(machine: Machine, driver: Driver,
                                  pf: PhysicalFunction) -> None:
    """Four VFs of six queues leave none for a fifth."""
    for vf in range(4):
        assert pf.set(vf, "queues", 6) == 0
    with said(machine) as lines:
        assert pf.set_vfs(5) == errno.ENOSPC
    assert len(lines) == 1
    assert {"26", "24"} <= set(re.findall(r"\b\d+\b", lines[0]))
    assert not pf.vfs
    assert pf.set_vfs(4) == 0
    pf.vfs[0].live()
    assert pf.set(0, "queues", 0) == errno.EBUSY
    assert pf.set_vfs(0) == 0
    assert pf.set(3, "queues", 2) == 0
    assert pf.set_vfs(5) == 0
    for vf in pf.vfs:
        vf.probed()
    vf = pf.vfs[4]
    vf.unbind()
    with said(machine) as lines:
        assert pf.set(4, "queues", 5) == errno.ENOSPC
    assert len(lines) == 1 and "VF 4" in lines[0]
    assert pf.resources()[4] == (4, 4)
    assert vf.bind(driver.name) == 0
    vf.live()


def allocate_to_pf(machine: Machine, pf: PhysicalFunction, kind: int,
                   count: int) -> None:
    """Gives the PF ``count`` resources of the pool, which takes effect with a function reset.
    Kind 0 is queues, kind 1 is interrupts."""
    machine.run(f"nvme virt-mgmt {pf.device} --cntlid={pf.live().cntlid}"
                f" --rt={kind} --act=1 --nr={count}")
    assert pf.write("reset", 1) == 0
    pf.live()
    name = ("queues", "interrupts")[kind]
    follows(pf, lambda: pf.pool(name)["primary"] == count)


def test_the_pf_gives_back_what_is_missing(machine: Machine,
                                           pf: PhysicalFunction) -> None:
    """A PF that holds the pool keeps it until the VFs need it."""
    for kind in range(2):
        allocate_to_pf(machine, pf, kind, 20)
    try:
        # Two VFs have their minimum.
        with said(machine) as lines:
            assert pf.set_vfs(2) == 0
        assert not any("gives" in line for line in lines)
        assert pf.resources()[:2] == [(2, 2)] * 2
        assert pf.pool("queues")["primary"] == 20
        assert pf.set_vfs(0) == 0
        # Eight lack twelve queues and four interrupts.
        with said(machine) as lines:
            assert pf.set_vfs(8) == 0
        gives = [line for line in lines if "gives" in line]
        assert "12 queue" in gives[0] and "4 interrupt" in gives[1]
        assert pf.pool("queues")["primary"] == 8
        assert pf.pool("interrupts")["primary"] == 16
        assert pf.resources() == [(2, 1)] * 8
        for vf in pf.vfs:
            assert vf.live().io_queues == 1
        fio(machine, disk(machine, pf.live(), 1), size="1m")
        assert pf.set_vfs(0) == 0
        # Resources in a setting count, too.
        assert pf.set(0, "queues", 5) == 0
        assert pf.set_vfs(8) == 0
        assert pf.pool("queues")["primary"] == 5
        assert pf.resources()[0] == (5, 1)
    finally:
        assert pf.set_vfs(0) == 0
        for kind in range(2):
            allocate_to_pf(machine, pf, kind, 0)


def test_module_parameter_with_a_pf_that_gives_back(
        machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """The function is reset while it is being probed."""
    allocate_to_pf(machine, pf, 0, 24)
    driver.unload()
    driver.load("sriov_vfs=4")
    try:
        machine.wait_for(lambda: len(pf.vfs) == 4, "four VFs")
        for vf in pf.vfs:
            vf.live()
        assert pf.pool("queues")["primary"] == 16
    finally:
        driver.unload()
        driver.load()
        allocate_to_pf(machine, pf, 0, 0)


def assign(pf: PhysicalFunction, vf: int, kind: int, count: int) -> None:
    """Assigns resources to a VF's controller by nvme-cli. The controller must be offline."""
    pf.manage(vf, f"--rt={kind} --act=8 --nr={count}")
    name = ("assigned_queues", "assigned_interrupts")[kind]
    follows(pf, lambda: pf.setting(vf, name) == str(count))


def test_assigned_by_hand(machine: Machine, pf: PhysicalFunction) -> None:
    """Resources that a user assigned to a VF's controller before it is enabled are its share."""
    for kind in range(2):
        assign(pf, 0, kind, 3)
    with said(machine) as lines:
        assert pf.set_vfs(4) == 0
    told = [line for line in lines if "by hand" in line]
    assert len(told) == 1 and "VF 0" in told[0]
    expected = [(3, 3)] + [(6, 6)] * 3
    assert pf.resources()[:4] == expected
    assert [vf.live().io_queues for vf in pf.vfs] == [2, 4, 4, 4]
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    for vf in pf.vfs:
        vf.live()
    assert pf.resources()[:4] == expected
    # VFs that are enabled later share equally.
    assert pf.set_vfs(0) == 0
    assert pf.pool("queues")["free"] == pf.pool("interrupts")["free"] == 24
    with said(machine) as lines:
        assert pf.set_vfs(8) == 0
    assert not [line for line in lines if "by hand" in line]
    assert pf.resources() == [(3, 3)] * 8


def test_one_kind_assigned_by_hand(machine: Machine, pf: PhysicalFunction) -> None:
    """The other VFs share the rest of this kind. Of the other kind, the VF has an equal share."""
    assign(pf, 1, 0, 5)
    assign(pf, 2, 1, 2)
    with said(machine) as lines:
        assert pf.set_vfs(8) == 0
    told = "\n".join(line for line in lines if "by hand" in line)
    assert "VF 1" in told and "VF 2" in told and "VF 0" not in told
    queues, interrupts = zip(*pf.resources(), strict=True)
    assert queues[1] == 5 and interrupts[2] == 2
    assert sum(queues) == 24
    others = [count for vf, count in enumerate(queues) if vf != 1]
    assert max(others) - min(others) <= 1
    for vf in pf.vfs:
        vf.live()


def test_setting_wins_over_what_is_assigned_by_hand(machine: Machine,
                                                    pf: PhysicalFunction) -> None:
    for kind in range(2):
        assign(pf, 0, kind, 3)
    assert pf.set(0, "queues", 5) == pf.set(0, "interrupts", 4) == 0
    with said(machine) as lines:
        assert pf.set_vfs(2) == 0
    assert [line for line in lines if "VF 0: loses" in line and "by hand" in line]
    assert pf.resources()[:2] == [(5, 4), (6, 6)]
    for vf in pf.vfs:
        vf.live()


def test_a_disk_for_each_vf(machine: Machine, pf: PhysicalFunction) -> None:
    """With a namespace set for each, one write makes VFs and their disks."""
    for vf in range(4):
        assert pf.set(vf, "namespaces", FIRST_PRIVATE_NSID + vf) == 0
    assert pf.set_vfs(4) == 0
    disks = [disk(machine, vf.live(), FIRST_PRIVATE_NSID + number)
             for number, vf in enumerate(pf.vfs)]
    assert len(set(disks)) == 4
    fio(machine, *disks, size="1m")
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    for vf in pf.vfs:
        vf.live()
    fio(machine, *disks, size="1m")
    assert pf.set_vfs(0) == 0
    # The disks are removed with their VFs, and do not come back without the setting.
    for vf in range(4):
        assert pf.set(vf, "namespaces", "") == 0
        assert pf.setting(vf, "namespaces") == ""
    assert pf.set_vfs(4) == 0
    cntlids = {vf.live().cntlid for vf in pf.vfs}
    for vf in range(4):
        assert not attached(pf, FIRST_PRIVATE_NSID + vf) & cntlids


def test_namespaces_of_a_live_vf(machine: Machine, pf: PhysicalFunction) -> None:
    """Namespaces can be attached and detached while a VF is in use, shared ones with several
    VFs."""
    assert pf.set(0, "namespaces", "2,3") == 0
    assert pf.setting(0, "namespaces") == "2 3"
    assert pf.set_vfs(2) == 0
    first, second = (vf.live() for vf in pf.vfs)
    disk(machine, first, 2)
    assert pf.set(0, "namespaces", "3 4") == 0
    assert pf.set(1, "namespaces", "4") == 0
    fio(machine, disk(machine, first, 4), disk(machine, first, 3), size="1m")
    disk(machine, second, 4)
    assert attached(pf, 2).isdisjoint({first.cntlid, second.cntlid})
    assert {first.cntlid, second.cntlid} <= attached(pf, 4)
    no_disk(machine, first, 2)


def test_no_such_namespace(machine: Machine, pf: PhysicalFunction) -> None:
    with said(machine) as lines:
        assert pf.set(0, "namespaces", "2 77") == errno.ENXIO
    assert len(lines) == 1 and "77" in lines[0]
    assert pf.setting(0, "namespaces") == ""


@pytest.mark.shape(PRIVATE)
def test_private_namespace(machine: Machine, pf: PhysicalFunction) -> None:
    """A private namespace has one controller at a time: the setting of a second VF fails."""
    assert pf.set(0, "namespaces", 2) == pf.set(1, "namespaces", 2) == 0
    assert pf.set_vfs(1) == 0
    disk(machine, pf.vfs[0].live(), 2)
    assert pf.set_vfs(0) == 0
    with said(machine) as lines:
        assert pf.set_vfs(2) == errno.EBUSY
    assert [line for line in lines if "VF 1" in line and "Private" in line]
    assert not pf.vfs
    # The failure is undone completely: the other VF can have the namespace.
    assert pf.set(0, "namespaces", "") == 0
    assert pf.set_vfs(2) == 0
    disk(machine, pf.vfs[1].live(), 2)
    with said(machine) as lines:
        assert pf.set(0, "namespaces", "3 2") == errno.EBUSY
    assert len([line for line in lines if "VF 0: cannot" in line]) == 1
    assert pf.setting(0, "namespaces") == ""
    no_disk(machine, pf.vfs[0].live(), 3)
    assert pf.set(1, "namespaces", "3") == 0
    no_disk(machine, pf.vfs[1].live(), 2)
    assert pf.set(0, "namespaces", "2") == 0
    fio(machine, disk(machine, pf.vfs[0].live(), 2),
        disk(machine, pf.vfs[1].live(), 3), size="1m")


def test_isolation_is_told(machine: Machine, pf: PhysicalFunction) -> None:
    with said(machine) as lines:
        assert pf.set_vfs(1) == 0
    assert [line for line in lines if "IOMMU" in line and "not isolated" in line]
