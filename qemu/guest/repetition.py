# SPDX-License-Identifier: GPL-2.0
"""Repeats commands in the guest while a test does something else."""

from collections.abc import Iterator
from contextlib import contextmanager

from guest.machine import Machine

_GO, _COMPLAINTS = "/run/go-on", "/run/complaints"
"""The commands are repeated while the first file exists; the second has their errors."""


@contextmanager
def repeated(machine: Machine, *commands: str) -> Iterator[None]:
    """Repeats each command within the block, whether it succeeds or not. The block fails
    if a command writes to standard error."""
    machine.run(f"touch {_GO}; : > {_COMPLAINTS}")
    processes = [
        machine.spawn(f"while [ -e {_GO} ]; do {command}; done"
                      f" > /dev/null 2>> {_COMPLAINTS}")
        for command in commands]
    yield
    machine.run(f"rm {_GO}")
    for process in processes:
        machine.finish(process)
    found = machine.read(_COMPLAINTS)
    assert not found, found
