# SPDX-License-Identifier: GPL-2.0
"""Fixtures for tests with devices that misbehave.

These tests expect that no task waits without a limit, that the log and an errno say what
was wrong, and that the driver works once the device behaves again.
"""

from collections.abc import Iterator

import pytest

from faults.checks import ADMIN_LIMIT, IO_LIMIT
from faults.rules import Faults
from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions


@pytest.fixture
def limits(machine: Machine, driver: Driver) -> Iterator[None]:
    """Sets short time limits for controllers that are probed from now on."""
    parameters = "/sys/module/nvme_core/parameters"
    before = machine.run(
        f"cd {parameters}; cat io_timeout admin_timeout").out.split()
    set_limits = (f"cd {parameters}; echo {{}} > io_timeout;"
                  " echo {} > admin_timeout")
    machine.run(set_limits.format(IO_LIMIT, ADMIN_LIMIT))
    yield
    if machine.alive:
        machine.run(set_limits.format(*before))


@pytest.fixture
def function(machine: Machine, driver: Driver,
             limits: None) -> Iterator[PhysicalFunction]:
    """Yields the first physical function, bound anew with short time limits. It is unbound
    afterwards, so that no other test gets a controller with these limits."""
    found = physical_functions(machine)[0]
    if found.driver:
        found.unbind()
    assert found.bind(driver.name) == 0
    found.live()
    yield found
    if machine.alive and found.driver:
        found.unbind()


@pytest.fixture
def faults(machine: Machine, function: PhysicalFunction) -> Iterator[Faults]:
    """Yields the fault rules of the driver, which are empty before and after the test."""
    found = Faults(machine)
    if not found.available:
        pytest.skip("this driver cannot make up faults: its kernel has no"
                    " CONFIG_FAULT_INJECTION_DEBUG_FS")
    found.clear()
    yield found
    if machine.alive:
        found.clear()
