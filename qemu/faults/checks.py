# SPDX-License-Identifier: GPL-2.0
"""Checks for tests with devices that misbehave."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from guest.kernel import PATIENCE
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import Function, PhysicalFunction
from subject.io import fio

IO_LIMIT = 4
"""Seconds after which an I/O command times out."""
ADMIN_LIMIT = 4
"""Seconds after which an admin command times out."""
ENODEV = r"(?:ENODEV|Error\(19\))"
"""ENODEV in the log; a kernel without CONFIG_SYMBOLIC_ERRNAME prints the number alone."""


def said(machine: Machine, pattern: str, since: int = 0) -> int:
    """Returns how often ``pattern`` matches in the log of this test, from ``since`` on."""
    machine.sync_log()
    return len(re.findall(pattern, machine.log.window()[since:]))


def now(machine: Machine) -> int:
    """Returns the length of this test's log, for ``since`` of said()."""
    machine.sync_log()
    return len(machine.log.window())


def uptime(machine: Machine) -> float:
    """Returns the guest's seconds since boot."""
    return float(machine.read("/proc/uptime").split()[0])


@contextmanager
def within(machine: Machine, seconds: float) -> Iterator[None]:
    """Checks that the block takes at most ``seconds``, by the guest's clock."""
    start = uptime(machine)
    yield
    took = uptime(machine) - start
    assert took <= seconds * PATIENCE


def read_block(device: str) -> str:
    """Returns the command line that reads the first block of a disk."""
    return f"dd if={device} of=/dev/null bs=4k count=1 iflag=direct"


def on_every_cpu(machine: Machine, command: str) -> None:
    """Runs a command on each CPU in turn, and so for each queue."""
    machine.run(f"for cpu in $(seq 0 {machine.shape.cpus - 1});"
                f" do taskset -c $cpu {command} || exit 1; done")


def check_works(machine: Machine, function: PhysicalFunction,
                io_queues: int | None = None) -> None:
    """Checks that a function serves I/O, on as many queues as there are CPUs."""
    controller = function.live()
    wanted = machine.shape.cpus if io_queues is None else io_queues
    assert controller.io_queues == wanted
    device = disk(machine, controller, 1)
    on_every_cpu(machine, read_block(device))
    fio(machine, device, size="512k")


def check_unreadable(machine: Machine, device: str) -> None:
    """Checks that a disk cannot be read."""
    said = machine.run(f"dd if={device} bs=4k count=1 iflag=direct | wc -c").out
    assert int(said) == 0


def check_given_up(machine: Machine, function: Function) -> None:
    """Checks that a function's controller is dead, and that its disks have a size of 0."""
    machine.wait_for(
        lambda: (found := function.controller) and found.state == "dead",
        f"{function.address} dead")
    controller = function.controller
    assert controller
    sizes = machine.run(f"cat /sys/class/nvme/{controller.name}/nvme*n*/size").out.split()
    assert sizes and not any(map(int, sizes)), sizes


def rebind(function: PhysicalFunction, driver: Driver) -> int:
    """Unbinds the function, if it is bound, and returns the errno of binding."""
    if function.driver:
        function.unbind()
    return function.bind(driver.name)
