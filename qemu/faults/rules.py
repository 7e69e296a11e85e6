# SPDX-License-Identifier: GPL-2.0
"""Device faults that the driver simulates on demand.

Only a module that was built with NVME_RS_FAULTS=y can; drivers/nvme/faults.rs describes
the rules.
"""

from guest.machine import Machine

WRITE, READ = 0x01, 0x02
"""I/O commands."""
DELETE_SQ, CREATE_SQ, CREATE_CQ, GET_LOG, IDENTIFY, ABORT, SET_FEATURES, MANAGE = (
    0x00, 0x01, 0x05, 0x02, 0x06, 0x08, 0x09, 0x1c)
"""Admin commands."""
PRIMARY_CAPABILITIES, SECONDARY_LIST, IDENTIFY_CONTROLLER = 0x14, 0x15, 0x01
"""What Identify returns (CNS)."""
NUMBER_OF_QUEUES, ASYNC_EVENTS = 0x07, 0x0b
"""Features."""

_FOLDER = "/sys/kernel/debug/nvme_rs"


class Faults:
    """The simulated faults of a guest, which apply to all functions of the driver."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def available(self) -> bool:
        """Returns whether the driver can simulate faults. It must be loaded."""
        return not self._machine.run(f"test -d {_FOLDER}", check=False).rc

    def command(self, *rules: str) -> None:
        """Adds rules for commands, such as "lose queue=io opcode=2"."""
        for rule in rules:
            self._write("command", rule)

    def left(self) -> list[int]:
        """Returns for each rule the number of commands that it will still affect."""
        said = self._machine.read(f"{_FOLDER}/command").splitlines()
        return [int(line.rpartition("=")[2]) for line in said]

    def register(self, name: str, clear: int = 0, set: int = 0) -> None:
        """Makes the driver read CSTS, CAP or TotalVFs with some bits cleared, then others
        set."""
        self._write("register", f"{name} clear={clear:#x} set={set:#x}")

    def gone(self, gone: bool) -> None:
        """Makes the devices vanish, or come back."""
        self._write("gone", int(gone))

    def release(self) -> None:
        """Delivers the late completions, each with the next completion of its queue."""
        self._write("release", 1)

    def clear(self) -> None:
        """Removes all faults."""
        self._machine.run(
            f"cd {_FOLDER} && echo clear > command && echo clear > register"
            " && echo 0 > gone")

    def _write(self, name: str, value: object) -> None:
        self._machine.run(f"echo '{value}' > {_FOLDER}/{name}")
