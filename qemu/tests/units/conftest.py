# SPDX-License-Identifier: GPL-2.0
"""What tests of nvme-sriov share."""

from pathlib import Path

import pytest

from subject.fake_kernel import FakeKernel, Run


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """Returns a PF without VFs."""
    return FakeKernel(tmp_path / "root")


@pytest.fixture
def run(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns what runs the tool."""
    return Run(kernel, capsys)
