# SPDX-License-Identifier: GPL-2.0
"""Commands that the guest repeats."""

from collections.abc import Iterator
from contextlib import contextmanager

from guest.machine import Machine

_GO, _COMPLAINTS = "/run/go-on", "/run/complaints"
"""What repeated() goes on for, and what its commands have to say."""


@contextmanager
def repeated(machine: Machine, *commands: str) -> Iterator[None]:
    """Repeats each of some commands within the block, whether they succeed or not. What
    one of them writes to standard error fails the block."""
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
