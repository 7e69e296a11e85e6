# SPDX-License-Identifier: GPL-2.0
"""Fatal errors of the link, which the kernel reports to all functions behind a port.

The port reports an error of its data link layer. The kernel tells the drivers of all
functions behind the port that the channel is frozen, and resets the link. Then the drivers
start again, or the kernel tells them that the recovery has failed.
"""

import pytest

from faults.checks import IO_LIMIT, check_given_up, check_unreadable, check_works, within
from guest.kernel import times
from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.disks import disk, private_disks
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command

VFS = 4
PF_NSID = FIRST_PRIVATE_NSID + VFS
"""The private namespace of the physical function."""

with_and_without_vfs = pytest.mark.parametrize(
    "vfs", (0, VFS), ids=("alone", "with VFs"))


def enable(machine: Machine, pf: PhysicalFunction, vfs: int) -> list[str]:
    """Enables VFs, and returns private disks of the PF and of each VF."""
    assert pf.set_vfs(vfs) == 0
    controller = pf.live()
    pf.attach(PF_NSID, controller.cntlid)
    return [disk(machine, controller, PF_NSID), *private_disks(machine, pf)]


def fatal_error(machine: Machine, outcome: str) -> None:
    """Makes the port report an error, and waits for the end of the recovery."""
    said = f"device recovery {outcome}"
    before = machine.log.window().count(said)
    machine.hmp("pcie_aer_inject_error port0 DLP")
    machine.wait_for(lambda: machine.log.window().count(said) > before, said, 60)


@pytest.mark.essential
@pytest.mark.shape(Shape(plain_ports=True, watched_locks=False))
@with_and_without_vfs
def test_recovery(machine: Machine, pf: PhysicalFunction, vfs: int) -> None:
    """The link comes back: all functions are live again, and no data is lost."""
    disks = enable(machine, pf, vfs)
    functions = [pf, *pf.vfs]
    before = [function.live() for function in functions]
    process = machine.spawn(fio_command(*disks, size=f"{times(16)}m"))
    for _ in range(2):
        machine.run("sleep 0.5")
        fatal_error(machine, "successful")
        assert [function.live() for function in functions] == before
    assert machine.finish(process, 120) == 0
    fio(machine, *disks, size="1m")
    check_works(machine, pf)
    assert pf.num_vfs == len(pf.vfs) == vfs
    assert pf.set_vfs(0) == 0


@pytest.mark.parametrize("end", ("unbind", "remove"))
@with_and_without_vfs
def test_failure(machine: Machine, function: PhysicalFunction, vfs: int,
                 end: str) -> None:
    """The link stays down: I/O fails, and the functions can be removed and found again.

    The kernel's own driver fails this: its controller stays in state resetting, and I/O
    waits forever.
    """
    disks = enable(machine, function, vfs)
    process = machine.spawn(fio_command(*disks, time_based=1, runtime=120))
    machine.run("sleep 1")
    with within(machine, 4 * IO_LIMIT):
        fatal_error(machine, "failed")
        assert machine.finish(process, 4 * IO_LIMIT) != 0
    for lost in (function, *function.vfs):
        check_given_up(machine, lost)
    for device in disks:
        check_unreadable(machine, device)
    with within(machine, 4 * IO_LIMIT):
        if end == "unbind":
            function.unbind()
            assert not function.vfs
        assert function.write("remove", 1) == 0
    # The port is not affected: a rescan finds the functions.
    machine.run("echo 1 > /sys/bus/pci/rescan")
    check_works(machine, function)
    fio(machine, *enable(machine, function, vfs), size="1m")
    assert function.set_vfs(0) == 0
