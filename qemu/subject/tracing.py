# SPDX-License-Identifier: GPL-2.0
"""The kernel's trace events, which show what it and the driver do."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from guest.machine import Machine

_TRACING = "/sys/kernel/tracing"


@contextmanager
def kernel_traced(machine: Machine, *events: str, trigger: str = "") -> Iterator[list[str]]:
    """Yields a list that, after the block, has the lines of the kernel's trace for ``events``
    that occurred in it, such as nvme/nvme_sq. ``trigger`` is what else each of them does.

    Skips the test if the kernel does not have them.
    """
    folders = [f"{_TRACING}/events/{event}" for event in events]
    if machine.run(" && ".join(f"test -e {folder}" for folder in folders), check=False).rc:
        pytest.skip(f"this kernel does not trace {' '.join(events)}")
    lines: list[str] = []
    machine.run(f"echo > {_TRACING}/trace")
    try:
        for folder in folders:
            if trigger:
                machine.run(f"echo '{trigger}' > {folder}/trigger")
            machine.run(f"echo 1 > {folder}/enable")
        yield lines
    finally:
        if machine.alive:
            for folder in folders:
                machine.run(f"echo 0 > {folder}/enable")
                if trigger:
                    machine.run(f"echo '!{trigger}' > {folder}/trigger")
    lines += machine.read(f"{_TRACING}/trace").splitlines()
