# SPDX-License-Identifier: GPL-2.0
"""The cycles of the soak, one method for each kind.

A cycle begins in the state that the previous one has left, and checks its own result.
"""

import random
from collections.abc import Callable

from guest.errors import MachineError
from guest.machine import Machine
from subject.controllers import controllers
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio, fio_command

VFS = 4
"""The number of VFs that have I/O while their PF is unplugged or reset."""

# Enables VFs, and waits until each has a live controller.
_ENABLE = """
cd {sysfs} || exit
[ $(cat sriov_numvfs) = 0 ] || echo 0 > sriov_numvfs || exit
echo {count} > sriov_numvfs || exit
while :; do
	live=0
	for file in virtfn*/nvme/nvme*/state; do
		read -r state < $file && [ "$state" = live ] && live=$((live + 1))
	done 2> /dev/null
	[ $live != {count} ] || break
	sleep 0.05
done
"""


class Cycles:
    """The cycles on the first physical function of a machine."""

    def __init__(self, machine: Machine, driver: Driver) -> None:
        self.machine = machine
        self.driver = driver
        if not driver.loaded:
            driver.load()
        self.pf: PhysicalFunction = physical_functions(machine)[0]
        self._disks: list[str] = []
        """The disks of the VFs, while VFS VFs are enabled."""
        self.rest()

    def rest(self) -> None:
        """Leaves a live PF without VFs, and no I/O."""
        self._disks = []
        self.pf.live()
        if self.pf.num_vfs:
            self._set_vfs(0)

    def enable(self, rng: random.Random) -> None:
        """Enables some VFs and disables them; some cycles do I/O in between."""
        self._disks = []
        count = rng.randint(1, self.machine.shape.vfs)
        self.machine.run(_ENABLE.format(sysfs=self.pf.sysfs, count=count))
        if rng.randrange(20) == 0:
            fio(self.machine, *private_disks(self.machine, self.pf), size="256k")
        self._set_vfs(0)

    def unplug(self, rng: random.Random) -> None:
        """Unplugs the PF while it and its VFs have I/O, and plugs it in again."""
        disks = [disk(self.machine, self.pf.live(), 1), *self._vf_disks()]
        process = self.machine.spawn(
            fio_command(*disks, time_based=1, runtime=120))
        self.machine.run(f"sleep {rng.uniform(0.2, 1.0)}")
        self.machine.unplug()
        self.machine.wait_for(
            lambda: self.machine.run(f"test -e {self.pf.sysfs}", check=False).rc,
            "end of the function", 60)
        self._disks = []
        if self.machine.finish(process) == 0:
            raise MachineError("I/O succeeded on a controller that is gone")
        if left := controllers(self.machine):
            raise MachineError(f"controllers without a function: {left}")
        self.machine.plug()
        self.machine.wait_for(
            lambda: self.pf.address in controllers(self.machine),
            "the new function", 60)
        fio(self.machine, disk(self.machine, self.pf.live(), 1), size="256k")

    def reset(self, rng: random.Random) -> None:
        """Resets the PF, by its controller or as a function, under VF I/O."""
        disks = self._vf_disks()
        process = self.machine.spawn(fio_command(*disks, size="2m"))
        self.machine.run(f"sleep {rng.uniform(0.0, 0.5)}")
        if rng.randrange(2):
            self.machine.run(f"nvme reset {self.pf.device}")
        elif failed := self.pf.write("reset", 1):
            raise MachineError(f"the function reset ends with errno {failed}")
        if status := self.machine.finish(process, 120):
            raise MachineError(f"fio ends with status {status}")
        self.pf.live()
        for vf in self.pf.vfs:
            vf.live()

    def reload(self, rng: random.Random) -> None:
        """Unloads the module, with VFs or without, and loads it again."""
        self._disks = []
        self.driver.unload()
        count = rng.randint(0, 2)
        self.driver.load(f"sriov_vfs={count}" if count else "")
        self.pf.live()
        self.machine.wait_for(
            lambda: self.pf.num_vfs == count, f"{count} VFs of sriov_vfs")
        for vf in self.pf.vfs:
            vf.live()

    def mix(self, rng: random.Random) -> None:
        """Does one of the other cycles, in the state that the last one left."""
        rng.choice((self.enable, self.unplug, self.reset, self.reload))(rng)

    def by_name(self, name: str) -> Callable[[random.Random], None]:
        """Returns the cycle of this name."""
        cycle: Callable[[random.Random], None] = getattr(self, name)
        return cycle

    def _vf_disks(self) -> list[str]:
        """Returns one disk for each of VFS VFs, which it enables if necessary."""
        if not self._disks:
            self.machine.run(_ENABLE.format(sysfs=self.pf.sysfs, count=VFS))
            self._disks = private_disks(self.machine, self.pf)
        return self._disks

    def _set_vfs(self, count: int) -> None:
        if failed := self.pf.set_vfs(count):
            raise MachineError(f"{count} VFs: errno {failed}")
