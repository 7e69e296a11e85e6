# SPDX-License-Identifier: GPL-2.0
"""A guest with both drivers, of which either one can have the device."""

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
"""Of 2 MiB, for buffers that are to be in one piece."""
_SETTLED = 100_000
"""At most so many instructions a guest executes in a while in which it is idle."""


class Guest:
    """A machine with both drivers loaded, and the one that has the device."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._marks = 0
        # Of many paths' block device both drivers know nothing.
        machine.run("modprobe nvme-core multipath=N")
        machine.run(f"echo {_HUGE_PAGES} > /proc/sys/vm/nr_hugepages")
        for name in DRIVERS:
            Driver(machine, name).load(f"poll_queues={machine.shape.cpus}")
        self.function = physical_functions(machine)[0]
        self.disk = ""
        """The block device."""

    def use(self, name: str) -> None:
        """Gives the device to a driver."""
        if self.function.driver != name:
            if self.function.driver:
                self.function.unbind()
            if error := self.function.bind(name):
                raise MachineError(f"{name} does not bind: errno {error}")
        self.disk = disk(self.machine, self.function.live(), 1)
        # Neither is to be helped by what is above it.
        self.machine.run(f"cd /sys/block/{self.disk.removeprefix('/dev/')}/queue &&"
                         " echo none > scheduler && echo 2 > nomerges")

    def check(self, name: str) -> None:
        """Raises unless the device is a driver's, which polls and has interrupts."""
        bound = self.function.driver
        if bound != name:
            raise MachineError(f"the device was to be {name}'s, and is {bound or 'nobody'}'s")
        cpus = self.machine.shape.cpus
        queues = self.function.live().io_queues
        if queues != 2 * cpus:
            raise MachineError(f"{name} has {queues} I/O queues, not {2 * cpus}")

    def command(self, point: Point, **options: object) -> str:
        """Returns the command line by which fio does a point's work."""
        return fio_command(self.disk, output=_OUTPUT, **(point.options | options))

    def instructions(self, command: str) -> int:
        """Returns how many instructions a command costs, and all that comes of it."""
        self._marks += 1
        mark = f"bench: mark {self._marks}"
        before = self._settled()
        # Asking whether it has ended would cost some, too. So it says it itself.
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
        # Of a guest that is not replayed, QEMU tells its instructions, too.
        return int(self.machine.qmp.cmd("query-replay")["icount"])
