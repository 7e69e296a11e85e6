# SPDX-License-Identifier: GPL-2.0
"""Resets and removals of a physical function at the same time as operations on its VFs."""

from collections.abc import Iterator

import pytest

from faults.checks import ADMIN_LIMIT, read_block, said, within
from faults.commands import ASYNC_EVENTS, DELETE_SQ, GET_LOG, MANAGE, SET_FEATURES
from faults.rules import Faults
from guest.kernel import PATIENCE, times
from guest.machine import Machine
from guest.repetition import repeated
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.controllers import controllers
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command
from subject.messages import check_log_of_scans

VFS = 4
MANY = 8
PATIENT = 30
"""Seconds of the guest within which an operation that meets a reset ends, on a busy host. A
wait for an admin command that the reset has lost would take 60 seconds."""

pytestmark = pytest.mark.usefixtures("defaults")


@pytest.fixture
def disks(machine: Machine, pf: PhysicalFunction) -> list[str]:
    """Returns the private disks of four VFs."""
    assert pf.set_vfs(VFS) == 0
    return private_disks(machine, pf)


def check_online(pf: PhysicalFunction, count: int) -> None:
    """Checks that ``count`` VFs are enabled, and waits until they are online, bound and live."""
    def online() -> bool:
        return sum(s["secondary-controller-state"] for s in pf.secondaries()) == count

    assert pf.num_vfs == len(pf.vfs) == count
    pf.machine.wait_for(online, f"{count} VFs online")
    for vf in pf.vfs:
        assert vf.driver == pf.driver
        vf.live()


def check_reads(machine: Machine, disks: list[str]) -> None:
    """Checks that disks can be read."""
    machine.run(" && ".join(map(read_block, disks)), PATIENT)


@pytest.mark.essential
@pytest.mark.shape(Shape(plain_ports=True))
def test_reset_of_the_bus(machine: Machine, pf: PhysicalFunction) -> None:
    """The port resets its secondary bus, for which the PCI core takes the device locks of all
    functions at once."""
    reset = f"echo 1 > $(realpath {pf.sysfs}/..)/reset_subordinate"
    device = disk(machine, pf.live(), 1)
    with within(machine, PATIENT):
        machine.run(reset)
        pf.live()
    fio(machine, device, size="512k")

    assert pf.set_vfs(VFS) == 0
    disks = private_disks(machine, pf)
    for _ in range(2):
        process = machine.spawn(fio_command(*disks, size="2m"))
        machine.run("sleep 0.5")
        with within(machine, PATIENT):
            machine.run(reset)
            pf.live()
            check_online(pf, VFS)
        assert machine.finish(process, 120) == 0
    fio(machine, *disks, size="512k")


def test_settings_while_the_pf_is_reset(machine: Machine,
                                        pf: PhysicalFunction) -> None:
    """Reads and writes of settings do not delay the return of VFs after a reset. A write that
    fails changes nothing."""
    folder = f"{pf.sysfs}/nvme_sriov"
    nsids = [FIRST_PRIVATE_NSID + 4 + vf for vf in range(1, VFS)]
    for vf, nsid in enumerate(nsids, 1):
        assert pf.set(vf, "namespaces", nsid) == 0
    assert pf.set_vfs(VFS) == 0
    disks = [disk(machine, vf.live(), nsid)
             for vf, nsid in zip(pf.vfs[1:], nsids, strict=True)]
    machine.put("/run/write", f"""cd {folder}/vf0
        for value in "2 3 4 5" ""; do
            was=$(cat namespaces)
            if (echo "$value" > namespaces) 2> /dev/null; then was=$value; fi
            is=$(cat namespaces)
            [ "$was" = "$is" ] || echo "namespaces are $is, not $was" >&2
        done""".encode())
    with repeated(machine, "sh /run/write", f"cat $(find {folder} -type f); sleep 0.05"):
        for _ in range(10):
            with within(machine, PATIENT):
                machine.run(f"nvme reset {pf.device}")
                pf.live()
                check_online(pf, VFS)
                check_reads(machine, disks)
    assert pf.set(0, "namespaces", FIRST_PRIVATE_NSID) == 0
    first = disk(machine, pf.vfs[0].live(), FIRST_PRIVATE_NSID)
    fio(machine, first, *disks, size="512k")
    check_log_of_scans(machine)


@pytest.mark.essential
def test_reset_as_vfs_come(machine: Machine, pf: PhysicalFunction) -> None:
    """Probes do not wait for commands that a reset has ended."""
    enabling = int(330 * PATIENCE)
    for delay in range(0, enabling, enabling // times(11)):
        machine.put("/run/race", f"""
            echo {MANY} > {pf.sysfs}/sriov_numvfs &
            sleep {delay / 1000}
            nvme reset {pf.device}
            wait $!""".encode())
        with within(machine, PATIENT):
            machine.run("sh /run/race")
            check_online(pf, MANY)
        assert pf.set_vfs(0) == 0


def test_reset_as_vfs_are_bound(machine: Machine, pf: PhysicalFunction) -> None:
    """Probes of VFs that are bound and unbound one by one do not wait for such commands."""
    assert pf.set_vfs(VFS) == 0
    driver = f"/sys/bus/pci/drivers/{pf.driver}"
    for vf in pf.vfs:
        vf.live()
    with repeated(machine, *(
            f"echo {vf.address} > {driver}/unbind; echo {vf.address} > {driver}/bind"
            for vf in pf.vfs[:2])):
        for _ in range(10):
            with within(machine, PATIENT):
                machine.run(f"nvme reset {pf.device}")
                pf.live()
            machine.run("sleep 0.3")
    check_online(pf, VFS)
    fio(machine, *private_disks(machine, pf), size="512k")


def bring_back(machine: Machine, pf: PhysicalFunction, vfs: int) -> None:
    """Rescans the bus for a function that was removed, and checks the function and its VFs."""
    assert not controllers(machine)
    machine.run("echo 1 > /sys/bus/pci/rescan", PATIENT)
    pf.live()
    machine.wait_for(lambda: len(pf.vfs) == vfs, f"{vfs} VFs")
    for vf in pf.vfs:
        vf.live()


def test_removal_as_it_is_probed(machine: Machine, unloaded: Driver,
                                 pf: PhysicalFunction) -> None:
    """A probe that enables VFs needs the rescan lock, which a removal holds while it waits for
    the end of the probe."""
    unloaded.load(f"sriov_vfs={VFS}")
    bring = f"echo {pf.address} > /sys/bus/pci/drivers/{unloaded.name}"
    machine.wait_for(lambda: len(pf.vfs) == VFS, f"{VFS} VFs")
    for delay in (0, 10, 20, 50, 100, 150, 200, 300, 400, 500, 700, 1000, 10, 10):
        machine.put("/run/race", f"""{bring}/unbind
            {bring}/bind 2> /dev/null &
            sleep {delay / 1000}
            echo 1 > {pf.sysfs}/remove
            wait $! || true""".encode())
        with within(machine, PATIENT):
            machine.run("sh /run/race", 2 * PATIENT)
        bring_back(machine, pf, VFS)


def test_removal_as_it_is_unbound(machine: Machine, driver: Driver,
                                  pf: PhysicalFunction) -> None:
    """The second of a removal and an unbind finds nothing to do."""
    both = [f"echo {pf.address} > {pf.sysfs}/driver/unbind",
            f"echo 1 > {pf.sysfs}/remove"]
    for turn in range(12):
        assert pf.set_vfs(VFS) == 0
        # The race begins while the VFs are being probed, or after that.
        for vf in pf.vfs if turn % 3 else ():
            vf.live()
        first, second = both if turn % 2 else reversed(both)
        # Either command may find that the function is gone.
        machine.put("/run/race", f"({first}) 2> /dev/null &\n"
                                 f"({second}) 2> /dev/null\nwait".encode())
        with within(machine, PATIENT):
            machine.run("sh /run/race", 2 * PATIENT)
        bring_back(machine, pf, 0)


@pytest.mark.parametrize("kind", [
    pytest.param("controller", marks=pytest.mark.essential), "function"])
def test_resets_of_both(machine: Machine, pf: PhysicalFunction, disks: list[str],
                        kind: str) -> None:
    """A VF whose own reset meets that of the PF is not given up."""
    first = pf.vfs[0]
    reset = {"controller": f"nvme reset /dev/{first.probed().name}",
             "function": f"echo 1 > {first.sysfs}/reset"}[kind]
    quiet = f"({reset}) 2> /dev/null; sleep 0.05"
    given_up = "grep -s -e dead -e deleting /sys/class/nvme/*/state >&2; sleep 0.05"
    io = f"{fio_command(*disks, size='512k', iodepth=4)} || echo I/O fails >&2"
    with repeated(machine, quiet, given_up, io):
        for _ in range(times(20)):
            with within(machine, PATIENT):
                machine.run(f"nvme reset {pf.device}")
                pf.live()
            check_reads(machine, disks)
    check_online(pf, VFS)
    fio(machine, *disks, size="512k")


@pytest.fixture
def lossy(machine: Machine, pf: PhysicalFunction, disks: list[str]) -> Iterator[Faults]:
    """Yields the fault rules of the driver. The PF has four VFs, and its admin commands have a
    short time limit."""
    found = Faults(machine)
    if not found.available:
        pytest.skip("this driver cannot make up faults")
    limit = f"/sys/class/nvme/{pf.live().name}/admin_timeout"
    before = machine.read(limit)
    machine.run(f"echo {1000 * ADMIN_LIMIT} > {limit}")
    yield found
    if machine.alive:
        found.clear()
        machine.run(f"echo {before} > {limit}")


def reset(pf: PhysicalFunction) -> str:
    """Returns a command that resets the controller. It fails if another reset follows."""
    return f"echo 1 > /sys/class/nvme/{pf.live().name}/reset_controller"


def check_in_time(machine: Machine, pf: PhysicalFunction, disks: list[str]) -> None:
    """Checks that the PF and its VFs are live again after a reset that was interrupted."""
    with within(machine, PATIENT):
        machine.run(f"until ({reset(pf)}) 2> /dev/null; do sleep 0.1; done")
    check_online(pf, VFS)
    check_reads(machine, disks)


@pytest.mark.faults
def test_stopped_before_vfs_are_provisioned(machine: Machine, pf: PhysicalFunction,
                                            disks: list[str], lossy: Faults) -> None:
    """A command of nvme-core is lost at the end of a reset, and a second reset follows. The
    first reset must not wait for VFs that only the second one can provision."""
    lossy.command(f"lose opcode={SET_FEATURES} dword10={ASYNC_EVENTS}")
    machine.run(f"({reset(pf)}) 2> /dev/null", PATIENT, check=False)
    assert lossy.left() == [0]
    check_in_time(machine, pf, disks)


@pytest.mark.faults
def test_reset_as_vfs_are_provisioned(machine: Machine, pf: PhysicalFunction,
                                      disks: list[str], lossy: Faults) -> None:
    """A reset waits for its VFs, and the owner waits for a lost command about one of them. The
    next reset ends that wait."""
    lossy.command(f"lose opcode={MANAGE}")
    first = machine.spawn(f"{reset(pf)} 2> /dev/null")
    machine.wait_for(lambda: lossy.left() == [0], "the command that is lost")
    machine.run(f"({reset(pf)}) 2> /dev/null", PATIENT, check=False)
    machine.finish(first, PATIENT)
    check_in_time(machine, pf, disks)


@pytest.mark.faults
def test_reset_as_a_vf_is_identified(machine: Machine, pf: PhysicalFunction,
                                     disks: list[str], lossy: Faults) -> None:
    """The first start of a VF's controller is cut off when nvme-core has just made the controller
    a part of its subsystem. nvme-core does that once for each controller."""
    vf = pf.vfs[0]
    vf.unbind()
    lossy.command(f"lose opcode={GET_LOG}")
    binding = machine.spawn(f"echo {vf.address} > /sys/bus/pci/drivers/{pf.driver}/bind")
    machine.wait_for(lambda: lossy.left() == [0], "the command that is lost")
    check_in_time(machine, pf, disks[1:])
    assert machine.finish(binding, PATIENT) == 0
    assert said(machine, "its first start was cut off") == 1
    check_reads(machine, [disk(machine, vf.live(), FIRST_PRIVATE_NSID)])


@pytest.mark.faults
def test_function_reset_as_vfs_go(machine: Machine, pf: PhysicalFunction,
                                  lossy: Faults) -> None:
    """A reset of a VF's function waits until the teardown of its controller is over: it would end
    the commands that the teardown waits for. The PCI core has not come to this VF yet, and does
    not hold its device lock."""
    for vf in pf.vfs:
        name = vf.live().name
        machine.run(f"echo {1000 * ADMIN_LIMIT} > /sys/class/nvme/{name}/admin_timeout")
    lossy.command(f"lose queue=admin opcode={DELETE_SQ} count=99")
    going = machine.spawn(f"echo 0 > {pf.sysfs}/sriov_numvfs")
    machine.wait_for(lambda: lossy.left() < [99], "the command that is lost")
    machine.run(f"echo 1 > {vf.sysfs}/reset; [ ! -e /sys/class/nvme/{name} ]", PATIENT)
    assert machine.finish(going, PATIENT) == 0
