# SPDX-License-Identifier: GPL-2.0
"""Resets, sleep, errors and removal of a physical function, with its VFs in use."""

import errno
import re

import pytest

from faults.checks import read_block
from guest.kernel import PATIENCE
from guest.machine import Machine
from guest.repetition import repeated
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.controllers import controllers
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command
from subject.sleep import suspend

VFS = 4
TRIES = 3
"""How often a time is measured, as the host may be busy."""
MORE = 1.0
"""The most seconds by which VFs may lengthen a reset of the PF, or the wake-up."""
_ALL_LIVE = "sleep: all live"


@pytest.fixture
def disks(machine: Machine, pf: PhysicalFunction) -> list[str]:
    """Returns the private disks of four VFs."""
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


def test_reset_of_the_pf_under_vf_io(machine: Machine, pf: PhysicalFunction,
                                     disks: list[str]) -> None:
    """The VFs lose their resources and get them back, and no data is lost."""
    process = machine.spawn(fio_command(*disks, size="4m"))
    for _ in range(5):
        machine.run(f"sleep 0.5; nvme reset {pf.device}")
        for function in (pf, *pf.vfs):
            function.live()
    assert machine.finish(process, 120) == 0
    check_alive(machine, pf, disks)


def test_resets_in_a_row(machine: Machine, pf: PhysicalFunction,
                         disks: list[str]) -> None:
    """Each reset waits until the VFs are provisioned after the one before."""
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
    """A reset of one VF does not affect other VFs, and loses no data."""
    process = machine.spawn(fio_command(*disks, size="4m"))
    assert pf.vfs[1].write("reset", 1) == 0
    pf.vfs[1].live()
    assert machine.finish(process, 120) == 0
    check_alive(machine, pf, disks)


def test_a_vf_fails(machine: Machine, pf: PhysicalFunction,
                    disks: list[str]) -> None:
    """The other VFs keep working. A reset of the PF revives the failed VF."""
    process = machine.spawn(fio_command(*disks[:1], *disks[2:], size="4m"))
    cntlid = pf.vfs[1].live().cntlid
    machine.run(f"nvme virt-mgmt {pf.device} --cntlid={cntlid} --act=7")
    wait_for_state(pf, 1, "offline")
    assert machine.finish(process, 120) == 0
    machine.run(f"nvme reset {pf.device}")
    assert pf.live()
    wait_for_state(pf, 1, "online")
    check_alive(machine, pf, disks)


@pytest.mark.essential
def test_a_vf_is_given_up(machine: Machine, driver: Driver, limits: None,
                          pf: PhysicalFunction, disks: list[str]) -> None:
    """A VF that fails under I/O is given up, and its I/O fails. It is probed anew after a
    reset of the PF."""
    vf = pf.vfs[1]
    process = machine.spawn(fio_command(disks[1], time_based=1, runtime=300))
    machine.run("sleep 1")
    pf.manage(1, "--act=7")
    assert machine.finish(process, 120) != 0
    machine.wait_for(
        lambda: not vf.controller or vf.controller.state.startswith(("dead", "deleting")),
        "the end of a VF's controller")
    machine.run(f"nvme reset {pf.device}")
    disks[1] = disk(machine, vf.live(), FIRST_PRIVATE_NSID + 1)
    assert vf.driver == driver.name
    wait_for_state(pf, 1, "online")
    check_alive(machine, pf, disks)


def wait_for_state(pf: PhysicalFunction, vf: int, state: str) -> None:
    """Waits until sysfs has a VF's state, which changes some time after a user's command."""
    pf.machine.wait_for(lambda: pf.setting(vf, "state") == state, f"VF {vf} {state}", 5)


@pytest.mark.essential
def test_sleep(machine: Machine, pf: PhysicalFunction, disks: list[str]) -> None:
    """All devices go to sleep and wake up, VFs before and after their PF."""
    before = pf.live(), [vf.live() for vf in pf.vfs]
    assert suspend(machine) == 0
    assert (pf.live(), [vf.live() for vf in pf.vfs]) == before
    check_alive(machine, pf, disks)


def time_to_wake(machine: Machine, functions: int) -> float:
    """Suspends the devices; returns the seconds from their wake-up until ``functions``
    controllers are live."""
    # Tasks are frozen while devices are suspended, for at least five seconds.
    machine.put("/run/watch", f"""
        read last rest < /proc/uptime
        while sleep 0.02; read now rest < /proc/uptime
                [ ${{now%.*}} -lt $((${{last%.*}} + 4)) ]; do
            last=$now
        done
        while [ $(grep -lsx live /sys/class/nvme/*/state | wc -l) -lt {functions} ]; do
            sleep 0.02
        done
        echo {_ALL_LIVE} > /dev/kmsg""".encode())
    start = len(machine.log.window())
    machine.spawn("sh /run/watch")
    assert suspend(machine) == 0
    machine.wait_for(lambda: _ALL_LIVE in machine.log.window()[start:], _ALL_LIVE, 60)
    asleep, live = re.findall(
        rf"^\[ *([\d.]+)\] (?:.*Waiting for 5 second|{_ALL_LIVE})",
        machine.log.window()[start:], re.M)
    return float(live) - float(asleep) - 5


def test_time_to_wake(machine: Machine, pf: PhysicalFunction) -> None:
    """VFs are live soon after their PF, without waiting for timeouts one after the other."""
    def best(functions: int) -> float:
        return min(time_to_wake(machine, functions) for _ in range(TRIES))

    alone = best(1)
    assert pf.set_vfs(VFS) == 0
    for vf in pf.vfs:
        vf.live()
    together = best(1 + VFS)
    print(f"live {alone:.2f} s after waking up, with {VFS} VFs {together:.2f} s")
    assert together <= alone + MORE * PATIENCE
    assert pf.set_vfs(0) == 0


def time_of_reset(machine: Machine, reset: str, disks: list[str]) -> float:
    """Resets the PF under I/O; returns the seconds until all disks can be read."""
    reads = "\n".join(f"{read_block(device)} 2> /dev/null" for device in disks)
    machine.put("/run/reset", f"""
        read start rest < /proc/uptime
        {reset}
        {reads}
        read end rest < /proc/uptime
        echo $start $end""".encode())
    io = fio_command(*disks, size="256k", iodepth=4, rate_iops=100)
    with repeated(machine, f"{io} || echo I/O fails >&2"):
        machine.run("sleep 1")
        start, end = machine.run("sh /run/reset").out.split()
    return float(end) - float(start)


@pytest.mark.parametrize("kind", ["controller", "function"])
def test_time_of_a_reset(machine: Machine, pf: PhysicalFunction, kind: str) -> None:
    """VFs under I/O lengthen a reset of the PF only a little."""
    reset = {"controller": f"nvme reset {pf.device}",
             "function": f"echo 1 > {pf.sysfs}/reset"}[kind]

    def best(disks: list[str]) -> float:
        return min(time_of_reset(machine, reset, disks) for _ in range(TRIES))

    alone = best([disk(machine, pf.live(), 1)])
    assert pf.set_vfs(VFS) == 0
    disks = private_disks(machine, pf)
    together = best(disks)
    print(f"a reset of the {kind}: {alone:.2f} s, with {VFS} VFs {together:.2f} s")
    assert together <= alone + MORE * PATIENCE
    check_alive(machine, pf, disks)


def test_error_above_the_pf(machine: Machine, pf: PhysicalFunction,
                            disks: list[str]) -> None:
    """A non-fatal error costs nothing, with VFs or without."""
    machine.hmp("pcie_aer_inject_error port0 POISON_TLP")
    machine.wait_for(lambda: "AER" in machine.log.window(), "report of the error")
    check_alive(machine, pf, disks)


def test_offline_vf(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """The probe of a VF that a user took offline fails, and the log has the reason."""
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


# A machine of its own, as the controller ids differ from a fresh one's afterwards.
@pytest.mark.essential
@pytest.mark.shape(Shape(cpus=2))
def test_unplug_under_vf_io(machine: Machine, pf: PhysicalFunction,
                            disks: list[str]) -> None:
    """The function is unplugged with its VFs, and another one takes its place."""
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
