# SPDX-License-Identifier: GPL-2.0
"""The results of operations: which ones are permitted, and a table of all."""

import errno
import os
import re
import statistics
from dataclasses import dataclass, field

from guest.errors import MachineError

_NAMES = {os.strerror(number): name for number, name in errno.errorcode.items()}
_BUSY = {"EBUSY", "ENODEV", "ENXIO", "EAGAIN", "ENETRESET"}
"""The errnos with which any operation may end while others run."""
_ALSO = {
    "enable": {"ENOSPC", "ENOENT"},     # ENOENT without a driver.
    "setting": {"ENOSPC"},
    "load": {"EEXIST"},
    "cpu": {"ENOSPC"},
    "fault": {"ENOSPC"},
}
"""Further errnos with which an operation may end."""
_LOST = {"EIO", "ETIMEDOUT", "EINTR"}
"""The errnos with which any operation may end when commands are lost."""


class Wrong(MachineError):
    """The state is wrong, whatever the actors did."""


@dataclass(frozen=True)
class Operation:
    """An operation that an actor has done."""

    actor: str
    name: str
    seconds: float
    result: str
    """ok, absent, the name of an errno, or a message."""

    def permitted(self, losing: bool) -> bool:
        """Returns whether the result is permitted while other actors work, who lose commands
        if ``losing``."""
        return (self.result in {"ok", "absent"} | _BUSY | _ALSO.get(self.name, set())
                or (losing and self.result in _LOST)
                # Its disks are judged one by one.
                or self.name == "use_disks")


@dataclass(frozen=True)
class Job:
    """The result for one disk in one run of fio."""

    nsid: int
    disk: str
    error: int
    """An errno, or 0."""


def named(result: str) -> str:
    """Returns the name of the errno that has this description, or else ``result``."""
    return _NAMES.get(result.strip(), result.strip())


def parse(text: str) -> tuple[list[Operation], list[Job]]:
    """Returns the operations and jobs in the actors' logs; each line names its file."""
    operations, jobs = [], []
    begins: dict[str, float] = {}
    for line in text.splitlines():
        file, _, entry = line.partition(":")
        actor = file.removeprefix("log.")
        if found := re.fullmatch(r"F \S+ (\d+)/(\S+) (\d+)", entry):
            jobs.append(Job(int(found[1]), found[2], int(found[3])))
            continue
        letter, up, name, *words = entry.split()
        if letter == "B":
            begins[actor] = float(up)
        else:
            operations.append(Operation(actor, name, float(up) - begins.pop(actor),
                                        named(" ".join(words))))
    return operations, jobs


@dataclass
class Table:
    """All operations of a run."""

    operations: list[Operation] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{'operation':<18}  {'times':>6}  {'median':>9}  {'slowest':>9}  results"]
        for name in sorted({operation.name for operation in self.operations}):
            these = [o for o in self.operations if o.name == name]
            times = [o.seconds for o in these if o.result != "absent"] or [0.0]
            results = [o.result for o in these if o.result != "ok"]
            counts = ", ".join(f"{result} {results.count(result)}"
                               for result in sorted(set(results)))
            lines.append(f"{name:<18}  {len(these):>6}  {statistics.median(times):>7.2f} s"
                         f"  {max(times):>7.2f} s  {counts}")
        return "\n".join(lines)
