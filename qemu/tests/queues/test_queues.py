# SPDX-License-Identifier: GPL-2.0
"""Interrupt threads and types of I/O queues, compared with the kernel's own driver."""

import re
from collections import Counter

import pytest

from guest.machine import Machine
from subject.attributes import write
from subject.controllers import Controller, controllers, interrupts
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import physical_functions
from subject.io import fio, fio_command

OURS = "nvme_rs"
BOTH = OURS, "nvme"


def threads(machine: Machine) -> dict[str, int]:
    """Returns the thread id of each interrupt that has a thread."""
    listed = machine.run("grep -sl ^irq/ /proc/[0-9]*/comm | while read f; do"
                         " echo $f $(cat $f); done").out
    # A thread's name has at most 15 characters.
    return {name: int(pid) for pid, name in re.findall(
        r"/proc/(\d+)/comm irq/\d+-(nvme\d+q\d+)", listed)}


def switches(machine: Machine, pid: int) -> int:
    """Returns how often a thread has gone to sleep."""
    status = machine.read(f"/proc/{pid}/status")
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[0])


def maps(machine: Machine, controller: Controller) -> list[tuple[str, str]]:
    """Returns type and CPUs of each hardware queue of the controller's disks."""
    found = machine.run(
        f"cd /sys/class/nvme/{controller.name}/nvme*n1/mq && for q in *; do"
        " echo $q $(cat /sys/kernel/debug/block/$(basename $(dirname $PWD))"
        "/hctx$q/type) $(cat $q/cpu_list); done").out
    queues = {}
    for line in found.splitlines():
        index, kind, *cpus = line.split()
        queues[int(index)] = kind, " ".join(cpus)
    return [queues[index] for index in range(len(queues))]


def kinds(queues: list[tuple[str, str]]) -> tuple[int, int, int]:
    """Returns how many default, read and poll queues there are."""
    count = Counter(kind for kind, _ in queues)
    return count["default"], count["read"], count["poll"]


def set_parameters(machine: Machine, name: str, **values: int) -> None:
    """Writes module parameters of a loaded driver."""
    for parameter, value in values.items():
        assert write(machine, f"/sys/module/{name}/parameters/{parameter}", value) == 0


def test_threaded_interrupts(machine: Machine, unloaded: Driver) -> None:
    """Each interrupt has a thread, which handles the completions."""
    seen = {}
    for name in BOTH:
        driver = Driver(machine, name)
        driver.load("use_threaded_interrupts=1")
        controller, = controllers(machine).values()
        device = disk(machine, controller, 1)
        fio(machine, device, size="2m")
        seen[name] = set(threads(machine))
        assert seen[name] == set(interrupts(machine, controller))
        if name == OURS:
            assert [pid for pid in threads(machine).values()
                    if switches(machine, pid) > 5]
            machine.run(f"nvme reset /dev/{controller.name}")
            assert set(threads(machine)) == seen[name]
            fio(machine, device, size="1m")
        driver.unload()
        assert not threads(machine)
    assert seen[OURS] == seen["nvme"]


def test_reads_and_writes_apart(machine: Machine, unloaded: Driver) -> None:
    """With one queue for writes, reads do not use its interrupt, nor writes
    those of the others."""
    unloaded.load("write_queues=1")
    controller, = controllers(machine).values()
    device = disk(machine, controller, 1)
    used = {}
    for rw in "randread", "randwrite":
        before = interrupts(machine, controller)
        fio(machine, device, rw=rw, size="1m", verify="0", numjobs=4,
            cpus_allowed="0-3", cpus_allowed_policy="split")
        after = interrupts(machine, controller)
        used[rw] = {queue for queue in after if after[queue] - before[queue] > 5}
    assert used["randwrite"] == {f"{controller.name}q1"}
    assert used["randread"] == {f"{controller.name}q{n}" for n in range(2, 6)}


def test_maps(machine: Machine, unloaded: Driver) -> None:
    """The queues, their CPUs and interrupts are the same as with the kernel's own driver. The
    controller grants at most eight queues."""
    seen: dict[str, list[object]] = {}
    for name in BOTH:
        driver = Driver(machine, name)
        seen[name] = []
        for writes, polls in (0, 0), (1, 0), (4, 0), (0, 2), (2, 1), (4, 4):
            driver.load(f"write_queues={writes} poll_queues={polls}")
            controller, = controllers(machine).values()
            device = disk(machine, controller, 1)
            queues = maps(machine, controller)
            seen[name].append(queues)
            seen[name].append(sorted(interrupts(machine, controller)))
            default, read, poll = kinds(queues)
            assert (bool(read), poll) == (writes > 0, polls)
            assert default == (writes or 4) or default + read + poll == 8
            if name == OURS:
                fio(machine, device, size="1m")
            driver.unload()
    assert seen[OURS] == seen["nvme"]


@pytest.mark.essential
def test_polled(machine: Machine, unloaded: Driver) -> None:
    """Polled I/O completes with the right data, without any interrupt."""
    unloaded.load("poll_queues=2")
    controller, = controllers(machine).values()
    device = disk(machine, controller, 1)
    assert machine.read(f"/sys/block/{device[5:]}/queue/io_poll").strip() == "1"
    before = interrupts(machine, controller)
    results = fio(machine, device, hipri=1, size="2m", offset_increment="2m",
                  numjobs=3, iodepth=16, bssplit="4k/80:64k/20")
    after = interrupts(machine, controller)
    assert [r["read"]["io_bytes"] for r in results] == [2 << 20] * 3
    # Polled queues have no interrupts, and those of other queues did not fire for this I/O.
    assert set(after) == {f"{controller.name}q{n}" for n in range(5)}
    assert sum(after.values()) - sum(before.values()) < 20
    # Besides the queues that are not polled.
    fio(machine, device, size="1m")
    assert sum(interrupts(machine, controller).values()) > sum(after.values())


def test_reset_with_other_counts(machine: Machine, unloaded: Driver) -> None:
    """A reset applies new values of the parameters, as far as the first start allows."""
    seen: dict[str, list[object]] = {}
    for name in BOTH:
        driver = Driver(machine, name)
        seen[name] = []
        driver.load("write_queues=1 poll_queues=2")
        controller, = controllers(machine).values()
        device = disk(machine, controller, 1)
        for writes, polls in (3, 1), (0, 2), (1, 0), (0, 0), (2, 2):
            set_parameters(machine, name, write_queues=writes, poll_queues=polls)
            machine.run(f"nvme reset /dev/{controller.name}")
            seen[name].append(maps(machine, controller))
            seen[name].append(sorted(interrupts(machine, controller)))
            if name == OURS:
                fio(machine, device, size="1m", hipri=int(polls > 0))
        driver.unload()
        # A controller that was probed without write or polled queues gets none by a reset.
        driver.load()
        set_parameters(machine, name, write_queues=2, poll_queues=2)
        controller, = controllers(machine).values()
        machine.run(f"nvme reset /dev/{controller.name}")
        seen[name].append(maps(machine, controller))
        driver.unload()
    assert seen[OURS] == seen["nvme"]


def test_reset_under_polled_io(machine: Machine, unloaded: Driver) -> None:
    unloaded.load("poll_queues=2")
    controller, = controllers(machine).values()
    process = machine.spawn(fio_command(
        disk(machine, controller, 1), hipri=1, size="8m", numjobs=2,
        offset_increment="8m"))
    for polls in 1, 2, 1:
        set_parameters(machine, OURS, poll_queues=polls)
        machine.run(f"sleep 0.3; nvme reset /dev/{controller.name}")
        assert kinds(maps(machine, controller)) == (4, 0, polls)
    assert machine.finish(process, 200) == 0


def test_polled_vfs(machine: Machine, unloaded: Driver) -> None:
    """VFs divide the few queues that they have in the same way."""
    unloaded.load("write_queues=2 poll_queues=2")
    pf, = physical_functions(machine)
    for count, expected in (4, (2, 1, 2)), (8, (1, 0, 1)):
        assert pf.set_vfs(count) == 0
        disks = private_disks(machine, pf)
        for vf in pf.vfs:
            disk(machine, vf.live(), 1)
            assert kinds(maps(machine, vf.live())) == expected
        fio(machine, *disks[:4], hipri=1, size="512k", iodepth=4)
        assert pf.set_vfs(0) == 0
