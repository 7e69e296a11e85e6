# SPDX-License-Identifier: GPL-2.0
"""A virtual machine in the guest, with a VF."""

import re
import shlex
from pathlib import Path

from guest.machine import Machine

_INITRAMFS = "/var/tmp/vm.initramfs"
_CONSOLE, _PID = "/run/vm.console", "/run/vm.pid"
_LIMIT = 400.0
"""Seconds for its boot. It takes 30 where the guest's CPU has virtualization, as QEMU's emulated
one does."""


class VirtualMachine:
    """A virtual machine that writes a mark to a namespace, and reads it once in a second."""

    def __init__(self, machine: Machine, nsid: int) -> None:
        self._machine = machine
        self.kernel = f"/boot/vmlinuz-{machine.run('uname -r').out.strip()}"
        """The path of its kernel, which is the guest's own."""
        machine.put("/root/vm.sh", Path(__file__).with_name("vm.sh").read_bytes())
        machine.run(f"sh /root/vm.sh {_INITRAMFS} {nsid}")

    @property
    def initramfs(self) -> str:
        """Returns the path of its initramfs."""
        return _INITRAMFS

    @property
    def options(self) -> str:
        """Returns QEMU's options for all but the VF."""
        return shlex.join([
            "-machine", "q35", "-accel", "kvm", "-accel", "tcg", "-cpu", "max", "-m", "256M",
            "-nodefaults", "-display", "none", "-kernel", self.kernel, "-initrd", _INITRAMFS,
            "-append", "console=ttyS0 loglevel=4 no_timer_check tsc=reliable",
            "-serial", f"file:{_CONSOLE}", "-daemonize", "-pidfile", _PID])

    @property
    def console(self) -> str:
        """Returns what it has said."""
        return self._machine.read(_CONSOLE)

    @property
    def reads(self) -> list[float]:
        """Returns when it has read, in seconds since its boot."""
        return [float(time) for time in re.findall(r"^vm: read at ([\d.]+)\s", self.console, re.M)]

    def wait_for_reads(self, count: int) -> list[float]:
        """Waits for as many further reads, and returns all."""
        goal = len(self.reads) + count
        self._machine.wait_for(lambda: len(self.reads) >= goal, "reads in the virtual machine",
                               _LIMIT)
        return self.reads

    def end(self) -> None:
        """Ends it as a power cut would."""
        self._machine.run(f"kill $(cat {_PID})")
