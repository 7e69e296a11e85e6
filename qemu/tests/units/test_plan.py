# SPDX-License-Identifier: GPL-2.0
"""Unit tests of the code that needs no kernel, run without a guest as well.

Here a failed assertion shows its values; KUnit's does not.
"""

import subprocess
from pathlib import Path

import pytest

from project import TOP


@pytest.mark.parametrize("source", ["drivers/nvme/sriov/plan.rs"])
def test_unit_tests(source: str, tmp_path: Path) -> None:
    program = tmp_path / "tests"
    subprocess.run(["rustc", "--edition=2021", "--test", "-o", program,
                    TOP / source], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "test result: ok" in done.stdout and " 0 passed" not in done.stdout
