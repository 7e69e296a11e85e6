# SPDX-License-Identifier: GPL-2.0
"""What came of operations: which results are all right, and a table of all."""

import errno
import os
import re
import statistics
from dataclasses import dataclass, field

from guest.errors import MachineError

_NAMES = {os.strerror(number): name for number, name in errno.errorcode.items()}
_BUSY = {"EBUSY", "ENODEV", "ENXIO", "EAGAIN", "ENETRESET"}
"""With which any operation may end when others are at work."""
_ALSO = {
    "enable": {"ENOSPC", "ENOENT"},     # ENOENT without a driver.
    "setting": {"ENOSPC"},
    "load": {"EEXIST"},
    "cpu": {"ENOSPC"},
    "fault": {"ENOSPC"},
}
"""What else an operation may end with."""
_LOST = {"EIO", "ETIMEDOUT", "EINTR"}
"""With which any operation may end when commands are lost."""


class Wrong(MachineError):
    """Something is not as it must be, whatever was going on."""


@dataclass(frozen=True)
class Operation:
    """One thing that an actor did."""

    actor: str
    name: str
    seconds: float
    result: str
    """ok, absent, an errno's name, or words."""

    def permitted(self, losing: bool) -> bool:
        """Whether the result is one that there may be when others are at work, who may be
        ``losing`` commands."""
        return (self.result in {"ok", "absent"} | _BUSY | _ALSO.get(self.name, set())
                or (losing and self.result in _LOST)
                # The disks are judged one by one.
                or self.name == "use_disks")


@dataclass(frozen=True)
class Job:
    """What came of one disk's data in one run of fio."""

    nsid: int
    disk: str
    error: int
    """An errno, or 0."""


def named(result: str) -> str:
    """Returns the name of an errno for its description; other words as they are."""
    return _NAMES.get(result.strip(), result.strip())


def parse(text: str) -> tuple[list[Operation], list[Job]]:
    """Returns what the logs of the actors say, of which each line names its file."""
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
