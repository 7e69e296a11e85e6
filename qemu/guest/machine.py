# SPDX-License-Identifier: GPL-2.0
"""The machine under test: a QEMU guest with NVMe controllers."""

import itertools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from qemu.qmp.legacy import QEMUMonitorProtocol

from guest import debian, executions, image
from guest.agent import Agent, Result
from guest.device import Device
from guest.emulator import Emulator
from guest.errors import MachineDied, MachineError, Timeout
from guest.kernel import PATIENCE, Kernel
from guest.log import KernelLog
from guest.options import function_properties, machine_options
from guest.shape import Shape
from guest.waiting import T, wait_for


_BOOT_LIMIT = 120.0
"""Seconds for booting; TCG on a busy host needs 20."""


class Machine:
    """A running guest.

    Commands go through the QEMU guest agent, ``qmp`` is QEMU's own monitor, and
    ``log`` is the kernel log, read from the serial console.
    """

    def __init__(self, shape: Shape) -> None:
        """Boots a guest of ``shape``."""
        self.shape = shape
        self.lost_functions = False
        """Whether the PCI core has leaked functions that were unplugged."""
        self._folder = tempfile.TemporaryDirectory(prefix="machine-")
        self._marks = itertools.count(1)
        folder = Path(self._folder.name)
        kernel = Kernel.from_environment()
        self.initramfs = folder / "initramfs"
        """The initramfs of the guest."""
        if shape.debian:
            debian.disk(kernel, folder)
        else:
            image.initramfs(kernel, self.initramfs, shape.python)

        console = folder / "console"
        console.touch()
        self.log = KernelLog(console)
        self.terminal = folder / "terminal"
        """The socket behind the guest's /dev/hvc0."""

        self.devices: list[Device] = []
        """The controllers outside of QEMU."""
        try:
            for index, changes in enumerate(shape.devices):
                self.devices.append(Device(folder, f"device{index}", changes))
            self._emulator = Emulator(
                machine_options(shape, kernel, folder, self.devices), folder)
        except BaseException:
            self._stop_devices()
            raise
        try:
            self._emulator.connect_monitor()
            self._agent = Agent(self._emulator)
            self.wait_for_boot()
            if shape.debian:
                debian.provide(self._agent)
        except BaseException as error:
            error.add_note(self.log.all())
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Returns whether QEMU still runs."""
        return self._emulator.alive

    @property
    def qmp(self) -> QEMUMonitorProtocol:
        """Returns QEMU's own client of its monitor."""
        return self._emulator.qmp

    def stop(self) -> None:
        """Ends the guest as a power cut would."""
        self._emulator.kill()
        self._stop_devices()
        self._folder.cleanup()

    def _stop_devices(self) -> None:
        for device in self.devices:
            device.stop()

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        """Runs ``command`` in the guest's shell, for ``timeout`` seconds at most.

        Raises CommandFailed for an exit status other than 0, if ``check``.
        """
        return self._agent.run(command, timeout, check)

    def spawn(self, command: str) -> int:
        """Starts ``command`` in the guest's shell, and returns its process id."""
        return self._agent.spawn(command)

    def finish(self, pid: int, timeout: float = 60) -> int:
        """Waits for a process of spawn() and returns its exit status."""
        return self._agent.finish(pid, timeout)

    def read(self, path: str) -> str:
        """Returns the content of a file of the guest, without white space at its ends."""
        return self.run(f"cat '{path}'").out.strip()

    def get(self, path: str) -> bytes:
        """Returns a file of the guest, byte for byte."""
        return self._agent.get(path)

    def put(self, path: str, data: bytes) -> None:
        """Writes ``data`` to a file of the guest."""
        self._agent.put(path, data)

    def wait_for(self, condition: Callable[[], T | None], what: str,
                 timeout: float = 20) -> T:
        """Returns the first true value of ``condition``.

        Raises Timeout, which names ``what``, after ``timeout`` seconds.
        """
        return wait_for(condition, what, timeout)

    def wait_for_boot(self) -> None:
        """Waits until the guest agent of the next kernel is there."""
        self._agent.wait_for_boot(debian.BOOT_LIMIT if self.shape.debian else _BOOT_LIMIT)

    def wait_for_off(self, timeout: float = 60) -> None:
        """Waits until the guest has powered off. QEMU must keep running after that
        (QMP: set-action)."""
        self.wait_for(lambda: self.qmp.cmd("query-status")["status"] == "shutdown",
                      "power-off", timeout)

    def wait_for_end(self, timeout: float = 60) -> None:
        """Waits until the guest has powered off and QEMU has ended."""
        timeout *= PATIENCE
        if not self._emulator.ends_within(timeout):
            raise Timeout(f"still running after {timeout} s")

    def sync_log(self) -> None:
        """Waits until the log holds everything that the kernel has printed so far."""
        mark = f"machine: mark {next(self._marks)}"
        self.run(f"echo '{mark}' > /dev/kmsg")
        self.wait_for(lambda: mark in self.log.window(), mark)

    def unplug(self, index: int = 0) -> None:
        """Begins to unplug a controller, as its slot's attention button would."""
        # Each VF holds a reference to its PF. Hot-unplug removes the functions of a slot
        # from the last to the first. When it reaches the PF, the PCI core drops only the
        # references of VFs that still exist, so the PF is leaked.
        if not self.run("ls -d /sys/bus/pci/devices/*/physfn", check=False).rc:
            self.lost_functions = True
        self.qmp.cmd("device_del", id=f"nvme{index}")

    def wait_for_ejection(self) -> None:
        """Waits until the guest has finished ejecting a slot. A controller that is plugged
        in earlier would be ejected by the rest of that work, or not noticed."""
        # QEMU's ACPI tables request the ejection of each function that the slot had at
        # boot, VFs included, and each request empties the whole slot. The requests are
        # on one work queue, whose worker is idle for a moment between two of them.
        self.run("""
            quiet=0
            while [ $quiet -lt 3 ]; do
                sleep 0.05
                if cat /proc/[0-9]*/stat 2> /dev/null |
                    grep -qE '[+]kacpi_hotplug[)]|-pciehp[)] [DR]'; then
                    quiet=0
                else
                    quiet=$((quiet + 1))
                fi
            done""")

    def plug(self, index: int = 0, shape: Shape | None = None) -> None:
        """Plugs a controller into the slot of the one that was unplugged: the same
        one, or one of another shape."""
        self.wait_for_ejection()
        # QMP requires the type of each property; the human monitor knows the types.
        said = self.hmp(f"device_add {function_properties(shape or self.shape, index)}").strip()
        if said:
            raise MachineError(said)

    def executions(self) -> dict[int, int]:
        """Returns how often each instruction of the kernel was executed so far, by its address;
        those of programs are at executions.PROGRAMS. For an idle guest of a counted shape."""
        return executions.executions(Path(self._folder.name))

    def hmp(self, command: str) -> str:
        """Runs a command of QEMU's human monitor."""
        return self._emulator.hmp(command)


def boot(shape: Shape) -> Machine:
    """Boots a machine of ``shape``.

    An emulated guest with several CPUs sometimes hangs or panics before init runs, and
    so before the driver is loaded. Then one more guest is booted. A hang or a panic
    after that point is a failure.
    """
    try:
        return Machine(shape)
    except (Timeout, MachineDied) as error:
        warnings.warn("\n".join([str(error), *error.__notes__]))
        return Machine(shape)
