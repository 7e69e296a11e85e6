# SPDX-License-Identifier: GPL-2.0
"""The unit tests in the module, which a debug kernel runs when it is loaded."""

import re

import pytest

from image import MODULE
from machine import Machine
from nvme import Driver

_RESULTS = "/sys/kernel/debug/kunit"


def test_unit_tests(machine: Machine, driver: Driver) -> None:
    if driver.name != "nvme_rs" or b".kunit_test_suites\0" not in MODULE.read_bytes():
        pytest.skip("the module has no unit tests for this kernel")
    driver.unload()
    before = set(_suites(machine))
    machine.sync_log()
    machine.log.close_window()
    driver.load()
    machine.sync_log()

    suites = set(_suites(machine)) - before
    assert suites
    passed = re.findall(r"^(?:\[[^]]*\] *)?ok \d+ (\S+)", machine.log.window(), re.MULTILINE)
    assert suites <= set(passed)
    for suite in suites:
        result = machine.read(f"{_RESULTS}/{suite}/results")
        assert "not ok" not in result
        assert re.search(rf"^ok \d+ {re.escape(suite)}$", result, re.MULTILINE), result


def _suites(machine: Machine) -> list[str]:
    return machine.run(f"ls {_RESULTS}").out.split()
