# SPDX-License-Identifier: GPL-2.0
"""CPUs that go offline and online again with I/O on their queues."""

import re

from guest.machine import Machine
from subject.attributes import write
from subject.controllers import Controller, controllers, interrupts
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command, start_io

_OTHERS = (1, 2, 3)
"""The CPUs that can go offline; the first one cannot."""


def set_online(machine: Machine, cpu: int, online: bool) -> None:
    path = f"/sys/devices/system/cpu/cpu{cpu}/online"
    assert write(machine, path, int(online)) == 0


def queue_of(machine: Machine, controller: Controller, cpu: int) -> str:
    """Returns the interrupt of the queue that serves a CPU."""
    found = machine.run(
        f"cd /sys/class/nvme/{controller.name}/nvme*n1/mq && grep -w {cpu} */cpu_list"
    ).out
    index, = re.findall(r"^(\d+)/cpu_list:", found, re.M)
    return f"{controller.name}q{int(index) + 1}"


def read_on(machine: Machine, cpu: int, device: str) -> None:
    machine.run(f"taskset -c {cpu} dd if={device} of=/dev/null bs=4k count=8"
                " iflag=direct")


def check_queues(machine: Machine, controller: Controller,
                 cpus: tuple[int, ...] = (0, *_OTHERS)) -> None:
    """Checks that each CPU's I/O has the interrupt of its own queue."""
    device = disk(machine, controller, 1)
    for cpu in cpus:
        queue = queue_of(machine, controller, cpu)
        before = interrupts(machine, controller)[queue]
        read_on(machine, cpu, device)
        assert interrupts(machine, controller)[queue] >= before + 8, cpu


def test_interrupts(machine: Machine, pf: PhysicalFunction) -> None:
    """The queue of an offline CPU gets no interrupts, those of the other CPUs still do, and no
    request is lost."""
    controller = pf.live()
    device = disk(machine, controller, 1)
    process = start_io(
        machine, controller, device, numjobs=4, size="4m", offset_increment="4m",
        time_based=1, runtime=12, cpus_allowed="0-3", cpus_allowed_policy="split")
    for cpu in _OTHERS:
        queue = queue_of(machine, controller, cpu)
        set_online(machine, cpu, False)
        before = interrupts(machine, controller)
        machine.run("sleep 0.5")
        read_on(machine, 0, device)
        after = interrupts(machine, controller)
        set_online(machine, cpu, True)
        assert after[queue] == before[queue], cpu
        assert sum(after.values()) > sum(before.values())
    assert machine.finish(process, 200) == 0
    check_queues(machine, controller)


def test_one_is_left(machine: Machine, pf: PhysicalFunction) -> None:
    """All CPUs but one go offline under I/O. After a reset, CPUs that come online are served."""
    controller = pf.live()
    device = disk(machine, controller, 1)
    process = machine.spawn(fio_command(
        device, numjobs=2, size="8m", offset_increment="8m"))
    for cpu in _OTHERS:
        set_online(machine, cpu, False)
    machine.run(f"nvme reset {pf.device}")
    assert pf.live().io_queues == machine.shape.cpus
    for cpu in _OTHERS:
        set_online(machine, cpu, True)
    assert machine.finish(process, 200) == 0
    check_queues(machine, controller)


def test_reset_without_one(machine: Machine, pf: PhysicalFunction) -> None:
    """A reset while a CPU is offline, which has the kernel spread the interrupts over the
    CPUs otherwise: each CPU's queue is the one whose interrupt it has."""
    controller = pf.live()
    for cpu in _OTHERS:
        set_online(machine, cpu, False)
        machine.run(f"nvme reset {pf.device}")
        check_queues(machine, pf.live(), tuple({0, *_OTHERS} - {cpu}))
        set_online(machine, cpu, True)
        check_queues(machine, controller)


def test_polled(machine: Machine, unloaded: Driver) -> None:
    """CPUs with polled queues go offline, too, and the driver is probed with one offline."""
    set_online(machine, 3, False)
    unloaded.load("poll_queues=2")
    controller, = controllers(machine).values()
    assert controller.io_queues == machine.shape.cpus + 2
    device = disk(machine, controller, 1)
    process = machine.spawn(fio_command(
        device, hipri=1, numjobs=3, size="4m", offset_increment="4m"))
    set_online(machine, 3, True)
    for cpu in _OTHERS:
        set_online(machine, cpu, False)
        machine.run("sleep 0.2")
    for cpu in _OTHERS:
        set_online(machine, cpu, True)
    assert machine.finish(process, 200) == 0
    for cpu in (0, *_OTHERS):
        fio(machine, device, hipri=1, size="256k", cpus_allowed=cpu)
    unloaded.unload()
