# SPDX-License-Identifier: GPL-2.0
"""Threads and types of I/O queues, beside the kernel's own driver."""

import re

from machine import Machine
from nvme import Driver, controllers, disk, fio, interrupts

OURS = "nvme_rs"
BOTH = OURS, "nvme"


def threads(machine: Machine) -> dict[str, int]:
    """Returns the interrupts that have a thread, with the thread's id."""
    listed = machine.run("grep -sl ^irq/ /proc/[0-9]*/comm | while read f; do"
                         " echo $f $(cat $f); done").out
    # A thread's name has at most 15 characters.
    return {name: int(pid) for pid, name in re.findall(
        r"/proc/(\d+)/comm irq/\d+-(nvme\d+q\d+)", listed)}


def switches(machine: Machine, pid: int) -> int:
    """Returns how often a thread has waited for something to do."""
    status = machine.read(f"/proc/{pid}/status")
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[0])


def test_threaded_interrupts(machine: Machine, unloaded: Driver) -> None:
    """Each interrupt has its thread, in which the work is done."""
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
