# SPDX-License-Identifier: GPL-2.0
"""Controllers of other shapes: two of one subsystem, and very many VFs."""

import errno
import re
from collections.abc import Callable

import pytest

from faults.checks import uptime
from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio, fio_command
from subject.messages import said

TWO = Shape(cpus=2, controllers=2, one_subsystem=True)
MANY = Shape(cpus=2, vfs=127, vq_flexible=300, vi_flexible=254, vf_limit=4,
             io_queues=310, namespaces=0)
RESETS = 10


@pytest.mark.shape(TWO)
def test_siblings(machine: Machine, pf: PhysicalFunction) -> None:
    """VFs do I/O while their PF is reset, and while VFs of another PF are enabled and
    disabled. The controller ids of those do not begin with the number of the first VF."""
    other = physical_functions(machine)[1]
    other.live()
    assert min(s["secondary-controller-identifier"]
               for s in other.secondaries()) > 8
    for vf in range(4):
        assert pf.set(vf, "namespaces", FIRST_PRIVATE_NSID + vf) == 0
        assert other.set(vf, "namespaces", FIRST_PRIVATE_NSID + 4 + vf) == 0
    assert pf.set_vfs(4) == 0
    disks = [disk(machine, vf.live(), FIRST_PRIVATE_NSID + number)
             for number, vf in enumerate(pf.vfs)]
    process = machine.spawn(fio_command(
        *disks, size="2m", time_based=1, runtime=60, iodepth=8, do_verify=1))
    for count in range(RESETS):
        machine.run(f"nvme reset {pf.device}")
        pf.live()
        assert other.set_vfs(count % 4 + 1) == 0
        for number, vf in enumerate(other.vfs):
            disk(machine, vf.live(), FIRST_PRIVATE_NSID + 4 + number)
        assert other.set_vfs(0) == 0
    assert machine.finish(process, 180) == 0
    for vf in pf.vfs:
        vf.live()
    assert pf.set_vfs(0) == 0


def available(machine: Machine) -> int:
    """Returns the guest's free memory, in KiB."""
    found = re.search(r"MemAvailable: +(\d+)", machine.read("/proc/meminfo"))
    assert found
    return int(found[1])


def timed(machine: Machine, step: Callable[[], None]) -> float:
    """Returns the duration of a step, in seconds of the guest."""
    start = uptime(machine)
    step()
    return uptime(machine) - start


@pytest.mark.shape(MANY)
def test_many_vfs(machine: Machine, pf: PhysicalFunction) -> None:
    """As many VFs as a controller can have work. Prints time and memory by count."""
    # The guest's shell does the loop, as each controller takes a few milliseconds.
    all_live = ("while [ $(grep -lsx live /sys/class/nvme/*/state | wc -l)"
                " -lt {} ]; do sleep 0.1; done")
    for count in (1, 8, 64, 127):
        free = available(machine)

        def enable(count: int = count) -> None:
            assert pf.set_vfs(count) == 0
            machine.run(all_live.format(count + 1), 300)
        seconds = timed(machine, enable)
        used = free - available(machine)
        assert [pf.setting(vf, "state") for vf in (0, count - 1)] == ["online"] * 2
        queues = [s["num-virtual-queues"] for s in pf.secondaries()]
        assert sorted(queues)[-count] >= 2 and sum(queues) <= MANY.vq_flexible
        gone = timed(machine, lambda: assert_none(pf))
        print(f"{count:3} VFs: {seconds:.1f} s until live, {gone:.1f} s to go,"
              f" {used // count} KiB each")


def assert_none(pf: PhysicalFunction) -> None:
    """Disables the VFs."""
    assert pf.set_vfs(0) == 0
    assert not pf.vfs


def replace(machine: Machine, pf: PhysicalFunction, shape: Shape) -> None:
    """Puts a controller of another shape in the slot."""
    machine.unplug()
    machine.wait_for(lambda: machine.run(f"test -e {pf.sysfs}", check=False).rc,
                     "end of the function", 60)
    machine.plug(shape=shape)
    machine.wait_for(
        lambda: not machine.run(f"test -e {pf.sysfs}", check=False).rc, "a function")
    pf.live()


# A machine of its own, as the controller ids differ from a fresh one's afterwards.
@pytest.mark.shape(Shape(cpus=2, namespaces=0))
def test_other_controllers_in_the_slot(machine: Machine, driver: Driver,
                                       pf: PhysicalFunction) -> None:
    """The slot gets a controller without VFs, then one with 127 VFs, for which the bridge has
    no room."""
    replace(machine, pf, Shape(vfs=0))
    assert pf.set_vfs(1) in (errno.ENOENT, errno.EACCES)
    assert machine.run(f"test -e {pf.sysfs}/nvme_sriov", check=False).rc
    fio(machine, disk(machine, pf.live(), 1), size="1m")

    replace(machine, pf, MANY)
    with said(machine) as lines:
        assert pf.set_vfs(127) == errno.ENOMEM
    told = [line for line in lines if "cannot enable 127 VFs" in line]
    assert len(told) == 1
    assert "memory window" in told[0] and "pci=realloc" in told[0]
    assert not pf.vfs
    assert pf.pool("queues")["assigned"] == 0
    driver.unload()
    driver.load()
    pf.live()
