# SPDX-License-Identifier: GPL-2.0
"""What tests of virtual functions share."""

from collections.abc import Iterator

import pytest

from guest.machine import Machine
from subject.functions import PhysicalFunction


@pytest.fixture
def defaults(machine: Machine, pf: PhysicalFunction) -> Iterator[None]:
    """Disables VFs and resets all settings after a test."""
    yield
    if machine.alive:
        pf.live()
        assert pf.set_vfs(0) == 0
        machine.run(f"for vf in {pf.sysfs}/nvme_sriov/vf*; do echo 0 > $vf/queues &&"
                    " echo 0 > $vf/interrupts && echo > $vf/namespaces || exit 1; done")
