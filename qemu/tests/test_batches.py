# SPDX-License-Identifier: GPL-2.0
"""Requests that come together go to the controller together."""

from machine import Machine
from nvme import PhysicalFunction, disk, fio
from trace import traced

_COMMAND = "pci_nvme_io_cmd"
_DOORBELL = "pci_nvme_mmio_doorbell_sq"


def test_batch(machine: Machine, pf: PhysicalFunction) -> None:
    """Sixteen requests ring one doorbell."""
    device = disk(machine, pf.live(), 1)
    with traced(machine, _COMMAND, _DOORBELL) as lines:
        fio(machine, device, rw="randread", bs="4k", size="1m", iodepth=16,
            iodepth_batch_submit=16, iodepth_batch_complete_min=16, verify=0)
    # The admin queue is number 0.
    commands, doorbells = (
        len([line for line in lines
             if line.startswith(event) and "sqid 0 " not in line])
        for event in (_COMMAND, _DOORBELL))
    assert commands >= 200, lines[:20]  # Neighbours are merged.
    assert 1 <= doorbells <= commands / 8, (commands, doorbells)
