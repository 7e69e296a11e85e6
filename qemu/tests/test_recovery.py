# SPDX-License-Identifier: GPL-2.0
"""What befalls a physical function, and how it and its VFs come through it."""

import errno
import re

import pytest

from machine import Machine, Shape
from nvme import (
    Driver, PhysicalFunction, controllers, disk, fio, fio_command, private_disks,
)
from sleep import suspend

VFS = 4


@pytest.fixture
def disks(machine: Machine, pf: PhysicalFunction) -> list[str]:
    """The disks of four VFs, one each."""
    assert pf.set_vfs(VFS) == 0
    return private_disks(machine, pf)


def check_alive(machine: Machine, pf: PhysicalFunction, disks: list[str]) -> None:
    """Checks that the function and its VFs are live and serve I/O."""
    pf.live()
    assert pf.num_vfs == len(pf.vfs) == VFS
    for vf in pf.vfs:
        assert vf.live().io_queues >= 1
    fio(machine, *disks, size="1m")
    assert pf.set_vfs(0) == 0


@pytest.mark.essential
def test_reset_of_the_pf_under_vf_io(machine: Machine, pf: PhysicalFunction,
                                     disks: list[str]) -> None:
    """The VFs lose all they have, get it back, and no data is lost."""
    process = machine.spawn(fio_command(*disks, size="4m"))
    for _ in range(5):
        machine.run(f"sleep 0.5; nvme reset {pf.device}")
        for function in (pf, *pf.vfs):
            function.live()
    assert machine.finish(process, 120) == 0
    check_alive(machine, pf, disks)


@pytest.mark.essential
def test_resets_in_a_row(machine: Machine, pf: PhysicalFunction,
                         disks: list[str]) -> None:
    """Each waits until the VFs have come through the one before."""
    process = machine.spawn(fio_command(*disks, size="4m"))
    machine.run(f"""
        for i in $(seq 8); do nvme reset {pf.device} || exit 1; done
        for i in $(seq 2); do echo 1 > {pf.sysfs}/reset || exit 1; done""", 120)
    for function in (pf, *pf.vfs):
        function.live()
    assert machine.finish(process, 120) == 0
    check_alive(machine, pf, disks)


def test_function_reset_of_the_pf(machine: Machine, pf: PhysicalFunction,
                                  disks: list[str]) -> None:
    assert pf.write("reset", 1) == 0
    check_alive(machine, pf, disks)


def test_function_reset_of_a_vf(machine: Machine, pf: PhysicalFunction,
                                disks: list[str]) -> None:
    """A reset of one VF is for that VF alone, and loses no data."""
    process = machine.spawn(fio_command(*disks, size="4m"))
    assert pf.vfs[1].write("reset", 1) == 0
    pf.vfs[1].live()
    assert machine.finish(process, 120) == 0
    check_alive(machine, pf, disks)


def test_a_vf_fails(machine: Machine, pf: PhysicalFunction,
                    disks: list[str]) -> None:
    """Its siblings go on. A reset of the PF revives it."""
    process = machine.spawn(fio_command(*disks[:1], *disks[2:], size="4m"))
    cntlid = pf.vfs[1].live().cntlid
    machine.run(f"nvme virt-mgmt {pf.device} --cntlid={cntlid} --act=7")
    assert pf.setting(1, "state") == "offline"
    assert machine.finish(process, 120) == 0
    machine.run(f"nvme reset {pf.device}")
    assert pf.live() and pf.setting(1, "state") == "online"
    check_alive(machine, pf, disks)


@pytest.mark.essential
def test_sleep(machine: Machine, pf: PhysicalFunction, disks: list[str]) -> None:
    """All devices go to sleep and wake up, VFs before and after their PF."""
    before = pf.live(), [vf.live() for vf in pf.vfs]
    assert suspend(machine) == 0
    assert (pf.live(), [vf.live() for vf in pf.vfs]) == before
    check_alive(machine, pf, disks)


def test_error_above_the_pf(machine: Machine, pf: PhysicalFunction,
                            disks: list[str]) -> None:
    """An error that loses nothing costs nothing, with VFs as without."""
    machine.hmp("pcie_aer_inject_error port0 POISON_TLP")
    machine.wait_for(lambda: "AER" in machine.log.window(), "report of the error")
    check_alive(machine, pf, disks)


def test_offline_vf(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """A VF that somebody took offline is refused, and told why."""
    assert pf.set_vfs(1) == 0
    vf, = pf.vfs
    cntlid = vf.live().cntlid
    vf.unbind()
    machine.run(f"nvme virt-mgmt {pf.device} --cntlid={cntlid} --act=7")
    assert vf.bind(driver.name) == errno.ENODEV
    machine.sync_log()
    assert re.search("VF is offline", machine.log.window())
    assert pf.set_vfs(0) == 0
    assert pf.set_vfs(1) == 0
    pf.vfs[0].live()


# A machine of its own: the controller ids are not those of a fresh one afterwards.
@pytest.mark.essential
@pytest.mark.shape(Shape(cpus=2))
def test_unplug_under_vf_io(machine: Machine, pf: PhysicalFunction,
                            disks: list[str]) -> None:
    """The function goes with its VFs, and another one takes its place."""
    process = machine.spawn(fio_command(*disks, time_based=1, runtime=30))
    machine.run("sleep 1")
    machine.unplug()
    machine.wait_for(
        lambda: machine.run(f"test -e {pf.sysfs}", check=False).rc,
        "end of the function", 60)
    assert machine.finish(process) != 0
    assert not controllers(machine)

    machine.plug()
    machine.wait_for(lambda: controllers(machine), "the new function", 60)
    fio(machine, disk(machine, pf.live(), 1), size="1m")
    assert pf.set_vfs(2) == 0
    for vf in pf.vfs:
        vf.live()
    assert pf.set_vfs(0) == 0
