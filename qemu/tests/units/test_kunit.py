# SPDX-License-Identifier: GPL-2.0
"""The unit tests in the module, which a kernel with KUnit runs when it is loaded."""

import re

import pytest

from guest.image import MODULE
from guest.machine import Machine
from project import TOP
from subject.driver import Driver

_RESULTS = "/sys/kernel/debug/kunit"
_FILTER = "/sys/module/kunit/parameters/filter_glob"
"""The filter of the suites that run. The guest boots with one that matches none."""


def _suites() -> dict[str, list[str]]:
    """Returns the tests of each suite, as the sources have them."""
    found: dict[str, list[str]] = {}
    for source in [*TOP.glob("rust/**/*.rs"), *TOP.glob("drivers/**/*.rs")]:
        _, *parts = re.split(r"\bkunit_tests\((\w+)\)", source.read_text())
        for name, text in zip(parts[::2], parts[1::2]):
            assert name not in found, f"there are two suites {name}"
            found[name] = re.findall(r"#\[test\]\s+fn (\w+)", text)
    return found


@pytest.mark.essential
def test_unit_tests(machine: Machine, unloaded: Driver) -> None:
    if unloaded.name != "nvme_rs":
        pytest.skip("the kernel's own driver has none")
    suites = _suites()
    assert suites and all(suites.values())

    module = MODULE.read_bytes()
    if machine.run(f"test -d {_RESULTS}", check=False).rc:
        # A module for a kernel without KUnit does not contain the tests.
        assert b".kunit_test_suites" not in module
        assert not [name for name in suites if name.encode() in module]
        return

    before = machine.read(_FILTER)
    # A newline would become part of the filter.
    machine.run(f"printf '*' > {_FILTER}")
    unloaded.load()
    machine.run(f"printf '{before}' > {_FILTER}")
    for suite, tests in suites.items():
        results = machine.run(f"cat {_RESULTS}/{suite}/results").out
        assert re.findall(r"^ +(.*ok) \d+ (\w+.*)$", results, re.MULTILINE) == [
            ("ok", test) for test in tests], results
        assert re.search(rf"^ok \d+ {suite}$", results, re.MULTILINE), results
