# SPDX-License-Identifier: GPL-2.0
"""The fixture for tests of the benchmark."""

from collections.abc import Iterator

import pytest

from benchmark.guest import DRIVERS, Guest
from guest.machine import Machine
from subject.driver import Driver


@pytest.fixture
def both_drivers(machine: Machine) -> Iterator[Guest]:
    """Yields a guest with both drivers, and unloads them afterwards."""
    found = Guest(machine)
    yield found
    if machine.alive:
        # The driver without the device must not be blamed for memory of the other one.
        found.function.unbind()
        for name in DRIVERS:
            Driver(machine, name).unload()
        machine.run("rmmod nvme-core")
