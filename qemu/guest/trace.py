# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace events, which show what its devices do."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest.machine import Machine


@contextmanager
def traced(machine: Machine, *events: str) -> Iterator[list[str]]:
    """Yields a list that, after the block, has a line for each of ``events`` that
    occurred in it: the event's name and its arguments."""
    lines: list[str] = []
    with tempfile.NamedTemporaryFile(prefix="trace-") as log:
        machine.hmp(f"logfile {log.name}")
        machine.hmp("log trace")
        try:
            for event in events:
                machine.hmp(f"trace-event {event} on")
            yield lines
        finally:
            for event in events:
                machine.hmp(f"trace-event {event} off")
            machine.hmp("log none")
            said = Path(log.name).read_text()
    # A line may begin with the process id and the time.
    lines += re.findall(rf"\b((?:{'|'.join(events)})\b.*)", said)
