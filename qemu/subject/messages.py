# SPDX-License-Identifier: GPL-2.0
"""What the kernel log has of the driver and nvme-core."""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from guest.log import faults
from guest.machine import Machine

_UNBALANCED = re.compile(
    r"cut here.*?WARNING: block/blk-mq\.c:\d+ at blk_mq_unquiesce_queue.*?end trace", re.DOTALL)
"""What the kernel says when a scan finds a namespace while a reset holds back the
disks that were there before: it lets go of all. Any transport of nvme-core meets it."""
_marks = itertools.count(1)


@contextmanager
def said(machine: Machine) -> Iterator[list[str]]:
    """Yields a list that, after the block, has what the driver said in it."""
    mark = f"test: mark {next(_marks)}"
    machine.run(f"echo '{mark}' > /dev/kmsg")
    lines: list[str] = []
    yield lines
    lines += machine.run(f"dmesg | sed -n '/{mark}/,$p' | grep nvme",
                         check=False).out.splitlines()


def check_log_of_scans(machine: Machine) -> None:
    """Closes the window of the log, in which namespaces have come and gone in resets;
    raises if the kernel reports a fault of its own or ours in it."""
    machine.sync_log()
    found = faults(_UNBALANCED.sub("", machine.log.window()))
    assert not found, found
    machine.log.close_window()
