# SPDX-License-Identifier: GPL-2.0
"""What tests of a controller outside of QEMU share."""

from collections.abc import Iterator

import pytest

from guest.device import Device
from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions


@pytest.fixture
def programmed(machine: Machine, driver: Driver, limits: None) -> Iterator[PhysicalFunction]:
    """Yields the function of the first controller outside of QEMU, not bound; whatever binds
    it has short time limits. The controller is sane before and after the test."""
    found = physical_functions(machine)[machine.shape.controllers]
    if found.driver:
        found.unbind()
    machine.devices[0].make_sane()
    yield found
    if machine.alive:
        machine.devices[0].clear()
        if found.driver:
            found.unbind()
        machine.devices[0].make_sane()


@pytest.fixture
def device(machine: Machine, programmed: PhysicalFunction) -> Device:
    """Returns the first controller outside of QEMU, whose function ``programmed`` is."""
    return machine.devices[0]


@pytest.fixture
def function(driver: Driver, programmed: PhysicalFunction) -> PhysicalFunction:
    """Returns the function of the first controller outside of QEMU, bound and live."""
    assert programmed.bind(driver.name) == 0
    programmed.live()
    return programmed
