# SPDX-License-Identifier: GPL-2.0
"""The messages of the driver and of nvme-core in the kernel log."""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from guest.log import faults
from guest.machine import Machine

_UNBALANCED = re.compile(
    r"cut here.*?WARNING: block/blk-mq\.c:\d+ at blk_mq_unquiesce_queue.*?end trace", re.DOTALL)
"""The kernel's warning when a scan finds a namespace while a reset has quiesced the queues
of the older disks: the reset then unquiesces all queues. It happens with any transport."""
_marks = itertools.count(1)


@contextmanager
def said(machine: Machine) -> Iterator[list[str]]:
    """Yields a list that, after the block, has the driver's messages from within it."""
    mark = f"test: mark {next(_marks)}"
    machine.run(f"echo '{mark}' > /dev/kmsg")
    lines: list[str] = []
    yield lines
    lines += machine.run(f"dmesg | sed -n '/{mark}/,$p' | grep nvme",
                         check=False).out.splitlines()


def check_log_of_scans(machine: Machine) -> None:
    """Closes the window of the log after scans that met resets. Raises if the window has a
    fault other than nvme-core's known warning."""
    machine.sync_log()
    found = faults(_UNBALANCED.sub("", machine.log.window()))
    assert not found, found
    machine.log.close_window()
