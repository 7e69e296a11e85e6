# SPDX-License-Identifier: GPL-2.0
"""Device faults that the driver simulates on demand.

Only a module that was built with NVME_RS_FAULTS=y can; drivers/nvme/faults.rs describes
the rules.
"""

from guest.machine import Machine

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

    def total_vfs(self, total: int) -> None:
        """Makes the next probes believe that a function has so many VFs."""
        self._write("total_vfs", total)

    def gone(self, gone: bool) -> None:
        """Makes the devices vanish, or come back."""
        self._write("gone", int(gone))

    def clear(self) -> None:
        """Removes all faults."""
        self._machine.run(
            f"cd {_FOLDER} && echo clear > command && echo 0 > total_vfs"
            " && echo 0 > gone")

    def _write(self, name: str, value: object) -> None:
        self._machine.run(f"echo '{value}' > {_FOLDER}/{name}")
