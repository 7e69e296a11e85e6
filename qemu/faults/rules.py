# SPDX-License-Identifier: GPL-2.0
"""Device faults that the driver makes up on demand.

Only the module for a kernel with fault injection can; drivers/nvme/faults.rs
says what there is.
"""

from guest.machine import Machine

WRITE, READ = 0x01, 0x02
"""I/O commands."""
CREATE_SQ, CREATE_CQ, GET_LOG, IDENTIFY, ABORT, SET_FEATURES, MANAGE = (
    0x01, 0x05, 0x02, 0x06, 0x08, 0x09, 0x1c)
"""Admin commands."""
PRIMARY_CAPABILITIES, SECONDARY_LIST, IDENTIFY_CONTROLLER = 0x14, 0x15, 0x01
"""What Identify returns (CNS)."""
NUMBER_OF_QUEUES, ASYNC_EVENTS = 0x07, 0x0b
"""Features."""

_FOLDER = "/sys/kernel/debug/nvme_rs"


class Faults:
    """The faults of a guest's devices; all functions of the driver have them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def available(self) -> bool:
        """Whether the driver, which must be loaded, can make up faults."""
        return not self._machine.run(f"test -d {_FOLDER}", check=False).rc

    def command(self, *rules: str) -> None:
        """Adds rules on commands: "lose queue=io opcode=2", say."""
        for rule in rules:
            self._write("command", rule)

    def left(self) -> list[int]:
        """Returns how many commands each rule is still to hit."""
        said = self._machine.read(f"{_FOLDER}/command").splitlines()
        return [int(line.rpartition("=")[2]) for line in said]

    def register(self, name: str, clear: int = 0, set: int = 0) -> None:
        """Has CSTS or CAP read with bits cleared, then others set."""
        self._write("register", f"{name} clear={clear:#x} set={set:#x}")

    def gone(self, gone: bool) -> None:
        """Lets the devices vanish, or come back."""
        self._write("gone", int(gone))

    def release(self) -> None:
        """Lets late completions arrive, each with the next one of its queue."""
        self._write("release", 1)

    def clear(self) -> None:
        """Ends all faults."""
        self._machine.run(
            f"cd {_FOLDER} && echo clear > command && echo clear > register"
            " && echo 0 > gone")

    def _write(self, name: str, value: object) -> None:
        self._machine.run(f"echo '{value}' > {_FOLDER}/{name}")
