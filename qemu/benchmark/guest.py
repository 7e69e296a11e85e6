# SPDX-License-Identifier: GPL-2.0
"""A guest with both drivers; either of them can be bound to the device."""

import time

from benchmark.point import Point
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
        self.disk = ""
        """The block device."""

    def use(self, name: str) -> None:
        """Binds the device to a driver."""
        if self.function.driver != name:
            if self.function.driver:
                self.function.unbind()
            if error := self.function.bind(name):
                raise MachineError(f"{name} does not bind: errno {error}")
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

    def instructions(self, command: str) -> int:
        """Returns how many instructions the guest executes for a command, until it is idle."""
        self._marks += 1
        mark = f"bench: mark {self._marks}"
        before = self._settled()
        # Polling for the end would cost instructions. So the command reports its own end.
        self.machine.spawn(f"{command} && echo '{mark}' > /dev/kmsg")
        self.machine.wait_for(lambda: mark in self.machine.log.window(), mark, 120)
        return self._settled() - before

    def _settled(self) -> int:
        """Waits until the guest is idle. Returns how many instructions it has executed."""
        last, count = -_SETTLED, self._executed()
        while count - last >= _SETTLED:
            time.sleep(0.1)
            last, count = count, self._executed()
        return count

    def _executed(self) -> int:
        # query-replay has the instruction count of a guest that is not replayed, too.
        return int(self.machine.qmp.cmd("query-replay")["icount"])
