# SPDX-License-Identifier: GPL-2.0
"""QEMU: its process, and its monitor."""

import asyncio
import re
import subprocess
from pathlib import Path

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from guest.architecture import ARCHITECTURE
from guest.errors import MachineDied
from guest.waiting import wait_for


class Emulator:
    """A running QEMU process. ``qmp`` is the client of its monitor, once connected."""

    qmp: QEMUMonitorProtocol

    def __init__(self, options: list[str], folder: Path) -> None:
        """Starts QEMU, whose sockets are in ``folder``."""
        self._folder = folder
        self._channels: list[QEMUMonitorProtocol] = []
        self._output = folder / "output"
        with self._output.open("wb") as output:
            # QEMU must not outlive the process that asked for it.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", ARCHITECTURE.emulator, *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )

    @property
    def alive(self) -> bool:
        """Returns whether QEMU still runs."""
        return self._process.poll() is None

    def connect(self, name: str, negotiate: bool) -> QEMUMonitorProtocol:
        """Returns a connection to a socket, which QEMU may not have created yet."""
        path = self._folder / name

        def exists() -> bool:
            if not self.alive:
                raise MachineDied(self.last_words())
            return path.is_socket()
        wait_for(exists, f"QEMU's socket {name}")
        protocol = QEMUMonitorProtocol(str(path))
        protocol.connect(negotiate)
        self._channels.append(protocol)
        return protocol

    def connect_monitor(self) -> None:
        """Connects ``qmp`` to the monitor."""
        self.qmp = self.connect("qmp", negotiate=True)

    def hmp(self, command: str) -> str:
        """Runs a command of QEMU's human monitor."""
        return str(self.qmp.cmd("human-monitor-command",
                                **{"command-line": command}))

    def kill(self) -> None:
        """Ends QEMU as a power cut would, and all connections to it."""
        self._process.kill()
        self._process.wait()
        for channel in self._channels:
            try:
                channel.close()
            except (OSError, EOFError, QMPError):
                pass  # QEMU is gone, and that breaks the connection.

    def ends_within(self, seconds: float) -> bool:
        """Waits until QEMU ends by itself, and returns whether it did."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def where(self) -> str:
        """Returns the program counters of a guest that does not react. If it has an NMI, it
        is ended by that, and the log has backtraces of its CPUs."""
        self.qmp.settimeout(30)
        try:
            registers = self.hmp("info registers -a")
            if ARCHITECTURE.has_nmi:
                # An NMI reaches CPUs with interrupts off, and makes the kernel panic.
                self.qmp.cmd("inject-nmi")
                self._process.wait(30)
        except asyncio.TimeoutError:
            return "nor does QEMU's monitor answer"
        except subprocess.TimeoutExpired:
            registers += "and does not react to an NMI"
        except (OSError, EOFError, QMPError):
            return self.last_words()
        return "\n".join(re.findall(r"^CPU#.*|^[ER]IP=.*|^ PC=\w+|^and .*", registers, re.M))

    def last_words(self) -> str:
        """Returns QEMU's exit status and its output."""
        said = self._output.read_text(errors="replace")
        return f"QEMU ended with status {self._process.returncode}\n{said}"
