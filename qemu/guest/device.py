# SPDX-License-Identifier: GPL-2.0
"""A controller outside of QEMU (``qemu/device``), which tests program while a guest runs."""

import json
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guest.errors import MachineError
from guest.waiting import wait_for
from project import BUILD

_PROGRAM = BUILD / "device/release/nvme-device"
_LIMIT = 30
"""The most seconds that a request takes."""


def settings(**changes: object) -> str:
    """Returns settings of a device, for ``Shape.devices``. ``src/settings.rs`` has their
    names and defaults."""
    return json.dumps(changes, sort_keys=True)


class Device:
    """A running controller, which one QEMU at a time uses.

    A rule is an action and what it is about, such as ``add({"repeat": 2}, queue=2, skip=2,
    count=1)``: command 3 of queue 2 is completed twice. ``src/behaviours.rs`` has all that a
    rule can say.
    """

    def __init__(self, folder: Path, name: str, changes: str) -> None:
        """Starts a controller with some settings. Its sockets are in ``folder``."""
        self.name = name
        self.socket = folder / name
        """The socket that QEMU connects to."""
        control = folder / f"{name}-control"
        if not _PROGRAM.exists():
            raise MachineError(f"{_PROGRAM} is missing; run make device first")
        self._output = folder / f"{name}-output"
        with self._output.open("wb") as output:
            # It must not outlive the process that asked for it.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", _PROGRAM, self.socket, control, changes],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(_LIMIT)

        def ready() -> bool:
            if not self.alive:
                raise MachineError(f"{name} ended: {self._output.read_text(errors='replace')}")
            return self.socket.is_socket() and control.is_socket()
        try:
            wait_for(ready, f"the sockets of {name}")
            self._control.connect(str(control))
            self._replies = self._control.makefile("r")
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Returns whether the process still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._control.close()

    def ask(self, what: str, **fields: object) -> dict[str, Any]:
        """Sends a request, and returns the reply. ``src/control.rs`` has the requests."""
        self._control.sendall(json.dumps({"do": what} | fields).encode() + b"\n")
        line = self._replies.readline()
        if not line:
            raise MachineError(f"{self.name} ended: {self._output.read_text(errors='replace')}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise MachineError(f"{self.name}: {reply['error']}")
        return reply

    def add(self, action: str | Mapping[str, object], **about: object) -> int:
        """Adds a rule, and returns its number."""
        number: int = self.ask("add", rule=about | {"action": action})["id"]
        return number

    def add_name(self, name: str) -> int:
        """Adds the rule of a name, and returns its number."""
        number: int = self.ask("add_name", name=name)["id"]
        return number

    def add_seed(self, seed: int) -> list[dict[str, Any]]:
        """Adds the rules of a seed, and returns them."""
        rules: list[dict[str, Any]] = self.ask("add_seed", seed=seed)["rules"]
        return rules

    def clear(self) -> None:
        """Removes all rules. A controller that was gone is back."""
        self.ask("clear")
        self.set_gone(False)

    def set(self, **changes: object) -> None:
        """Changes settings. What the PCI function consists of stays as QEMU has found it."""
        self.ask("set", settings=changes)

    def met(self) -> int:
        """Returns how many commands, and reads of registers, the rules in force have met."""
        return sum(rule["met"] for rule in self.ask("rules")["rules"])

    def count(self, what: str) -> int:
        """Returns how often something has happened."""
        counted: int = self.ask("journal")["journal"]["counts"].get(what, 0)
        return counted

    def state(self) -> dict[str, Any]:
        """Returns what the controller is like now."""
        state: dict[str, Any] = self.ask("journal")["state"]
        return state

    def violations(self) -> list[str]:
        """Returns what the driver did that the specification does not let it do."""
        violations: list[str] = self.ask("journal")["journal"]["violations"]
        return violations

    def features(self, feature: int) -> list[int]:
        """Returns the values that a feature was set to, in order."""
        features: list[list[int]] = self.ask("journal")["journal"]["features"]
        return [value for which, value in features if which == feature]

    def happen(self, kind: int, information: int = 0, log: int = 0) -> None:
        """Makes an asynchronous event happen."""
        self.ask("event", event={"type": kind, "information": information, "log": log})

    def release(self) -> None:
        """Posts the completions that rules have kept."""
        self.ask("release")

    def reset_subsystem(self) -> None:
        """Resets the subsystem, as another of its controllers would."""
        self.ask("reset_subsystem")

    def set_gone(self, gone: bool) -> None:
        """Has the controller vanish from its bus, or come back."""
        self.ask("gone", gone=gone)

    def make_sane(self) -> None:
        """Makes it the device that it was at the beginning, by a function reset: without
        rules, violations or data. No driver may be bound."""
        self.ask("sane")
