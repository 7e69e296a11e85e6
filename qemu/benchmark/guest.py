# SPDX-License-Identifier: GPL-2.0
"""A guest with both drivers; either of them can be bound to the device."""

import json
import time
from functools import cached_property
from typing import Any, NamedTuple

from benchmark.point import Point
from benchmark.symbols import Symbols
from guest.errors import MachineError
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import physical_functions
from subject.io import fio_command

DRIVERS = ("nvme", "nvme_rs")
"""The kernel's own, then ours."""
_OUTPUT = "/run/bench.json"
_HUGE_PAGES = 16
"""The number of huge pages of 2 MiB, for buffers that must be contiguous."""
_SETTLED = 100_000
"""The most instructions that an idle guest executes between two looks."""


class Executed(NamedTuple):
    """What a guest has executed."""

    instructions: int
    executions: dict[int, int]
    """How often each instruction of the kernel was executed, by its address."""

    def __sub__(self, other: "Executed") -> "Executed":
        """Returns what was executed beside the other."""
        return Executed(self.instructions - other.instructions, {
            address: count - other.executions.get(address, 0)
            for address, count in self.executions.items()})


class Guest:
    """A machine with both drivers loaded, and its device."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._marks = 0
        # Native multipath is off for both drivers, so that I/O passes no multipath device.
        machine.run("modprobe nvme-core multipath=N")
        machine.run(f"echo {_HUGE_PAGES} > /proc/sys/vm/nr_hugepages")
        for name in DRIVERS:
            Driver(machine, name).load(f"poll_queues={machine.shape.cpus}")
        self.function = physical_functions(machine)[0]
        self.driver = ""
        """The driver that is in use."""
        self.disk = ""
        """The block device."""

    @cached_property
    def symbols(self) -> Symbols:
        """Returns the functions of the kernel and of both drivers."""
        return Symbols(self.machine)

    def use(self, name: str) -> None:
        """Binds the device to a driver."""
        if self.function.driver != name:
            if self.function.driver:
                self.function.unbind()
            if error := self.function.bind(name):
                raise MachineError(f"{name} does not bind: errno {error}")
        self.driver = name
        self.disk = disk(self.machine, self.function.live(), 1)
        # Neither a scheduler nor merging is to change the requests.
        self.machine.run(f"cd /sys/block/{self.disk.removeprefix('/dev/')}/queue &&"
                         " echo none > scheduler && echo 2 > nomerges")

    def check(self, name: str) -> None:
        """Raises unless the device is bound to this driver, and has a queue with an interrupt
        and a polled queue for each CPU."""
        bound = self.function.driver
        if bound != name:
            raise MachineError(f"the device was to be {name}'s, and is {bound or 'nobody'}'s")
        cpus = self.machine.shape.cpus
        queues = self.function.live().io_queues
        if queues != 2 * cpus:
            raise MachineError(f"{name} has {queues} I/O queues, not {2 * cpus}")

    def command(self, point: Point, **options: object) -> str:
        """Returns fio's command line for a point."""
        return fio_command(self.disk, output=_OUTPUT, **(point.options | options))

    def run(self, point: Point, timeout: float, **options: object) -> dict[str, Any]:
        """Runs fio for a point, and returns what it says of the job. Raises if fio did not do
        as many I/Os as it was told."""
        self.machine.run(self.command(point, **options), timeout)
        return self._said(point, **options)

    def execute(self, point: Point, ios: int) -> Executed:
        """Returns what the guest executes for fio with so many I/Os, until it is idle."""
        self._marks += 1
        mark = f"bench: mark {self._marks}"
        before = self._settled()
        # Polling for the end would cost instructions. So the command reports its own end.
        command = self.command(point, number_ios=ios)
        self.machine.spawn(f"{command} && echo '{mark}' > /dev/kmsg")
        self.machine.wait_for(lambda: mark in self.machine.log.window(), mark, 120)
        found = self._settled() - before
        self._said(point, number_ios=ios)
        return found

    def _said(self, point: Point, number_ios: int = 0, **_: object) -> dict[str, Any]:
        said = self.machine.read(_OUTPUT)
        # fio may print notes before the JSON.
        job: dict[str, Any] = json.loads(said[said.index("{"):])["jobs"][0]
        done = sum(job[way]["total_ios"] for way in ("read", "write"))
        if number_ios and done != number_ios * point.jobs:
            raise MachineError(f"{point.name}: fio was to do {number_ios} I/Os in each of"
                               f" {point.jobs} jobs, and did {done}")
        return job

    def _settled(self) -> Executed:
        """Waits until the guest is idle. Returns what it has executed so far."""
        last, count = -_SETTLED, self._count()
        while count - last >= _SETTLED:
            time.sleep(0.1)
            last, count = count, self._count()
        return Executed(count, self.machine.executions())

    def _count(self) -> int:
        # query-replay has the instruction count of a guest that is not replayed, too.
        return int(self.machine.qmp.cmd("query-replay")["icount"])
