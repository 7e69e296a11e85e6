# SPDX-License-Identifier: GPL-2.0
"""The QEMU guest agent, which runs commands in the guest."""

import asyncio
import base64
import time
from dataclasses import dataclass
from typing import Any

from qemu.qmp import QMPError

from guest.emulator import Emulator
from guest.errors import CommandFailed, MachineDied, MachineError, Timeout
from guest.kernel import PATIENCE
from guest.waiting import wait_for

_OUT, _ERR = "/run/machine.out", "/run/machine.err"
"""The output of the guest's last command."""
_MIB = 1 << 20


@dataclass(frozen=True)
class Result:
    """The exit status and the output of a command."""

    rc: int
    out: str
    err: str
    """Empty, if the exit status is 0."""


class Agent:
    """The QEMU guest agent of a guest."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._channel = emulator.connect("agent", negotiate=False)

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        """Runs ``command`` in the guest's shell, for ``timeout`` seconds at most.

        Raises CommandFailed for an exit status other than 0, if ``check``.
        """
        # The command writes to files, as the guest agent sometimes loses output from a
        # pipe: it closes the pipe when poll() reports POLLHUP without POLLIN, and the
        # kernel may report that although the writer wrote just before it exited.
        pid = self.spawn(f"exec > {_OUT} 2> {_ERR}\n{command}")
        timeout *= PATIENCE
        deadline = time.monotonic() + timeout
        pause = 0.01
        while not (status := self._status(pid))["exited"]:
            if time.monotonic() > deadline:
                # The stacks of all blocked tasks in the log show why the command hangs.
                self.spawn(f"kill -9 {pid}; echo w > /proc/sysrq-trigger")
                time.sleep(2)
                raise Timeout(f"not done in {timeout} s: {command}")
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        rc = _exit_status(status)
        result = Result(rc, self.get(_OUT).decode(errors="replace"),
                        self.get(_ERR).decode(errors="replace") if rc else "")
        if check and result.rc:
            raise CommandFailed(
                f"exit status {result.rc}: {command}\n{result.out}{result.err}")
        return result

    def spawn(self, command: str) -> int:
        """Starts ``command`` in the guest's shell, and returns its process id."""
        started: Any = self._ask(30, "guest-exec", path="/bin/sh", arg=["-c", command])
        return started["pid"]

    def finish(self, pid: int, timeout: float = 60) -> int:
        """Waits for a process of spawn() and returns its exit status."""
        def ended() -> dict[str, Any] | None:
            status = self._status(pid)
            return status if status["exited"] else None
        return _exit_status(wait_for(ended, f"end of process {pid}", timeout))

    def get(self, path: str) -> bytes:
        """Returns a file of the guest, byte for byte."""
        handle = self._ask(30, "guest-file-open", path=path, mode="r")
        data = b""
        more = True
        while more:
            part: Any = self._ask(30, "guest-file-read", handle=handle, count=_MIB)
            data += base64.b64decode(part["buf-b64"])
            more = not part["eof"]
        self._ask(30, "guest-file-close", handle=handle)
        return data

    def put(self, path: str, data: bytes) -> None:
        """Writes ``data`` to a file of the guest."""
        handle = self._ask(30, "guest-file-open", path=path, mode="w")
        for start in range(0, len(data), _MIB):
            part = base64.b64encode(data[start:start + _MIB]).decode()
            self._ask(30, "guest-file-write", handle=handle,
                      **{"buf-b64": part})
        self._ask(30, "guest-file-close", handle=handle)

    def wait_for_boot(self, limit: float) -> None:
        """Waits until the guest agent of the next kernel is there."""
        # The agent answers a request that was sent before it started.
        self._ask(limit, "guest-ping")

    def _status(self, pid: int) -> dict[str, Any]:
        status: Any = self._ask(30, "guest-exec-status", pid=pid)
        return status

    def _ask(self, timeout: float, command: str, **arguments: object) -> object:
        """Has the guest agent execute ``command``."""
        timeout *= PATIENCE
        self._channel.settimeout(timeout)
        try:
            return self._channel.cmd(command, **arguments)
        except asyncio.TimeoutError:
            raise Timeout(f"the guest agent is silent for {timeout} s\n"
                          f"{self._emulator.where()}") from None
        except (OSError, EOFError, QMPError) as error:
            if self._emulator.ends_within(5):
                raise MachineDied(self._emulator.last_words()) from None
            raise MachineError(f"guest agent: {error}") from error


def _exit_status(status: dict[str, Any]) -> int:
    """Returns the exit status of a process that has ended: 128 + N for signal N."""
    found: int = status.get("exitcode", 128 + status.get("signal", 0))
    return found
