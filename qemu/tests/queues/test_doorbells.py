# SPDX-License-Identifier: GPL-2.0
"""Shadow doorbells: most doorbell values are in memory, without a register write."""

import pytest

from guest.machine import Machine
from guest.shape import Shape
from guest.trace import traced
from subject.disks import disk, private_disks
from subject.functions import PhysicalFunction
from subject.io import fio

_CONFIG = "pci_nvme_dbbuf_config"
_COMMAND = "pci_nvme_io_cmd"
_TAIL = "pci_nvme_mmio_doorbell_sq"
_HEAD = "pci_nvme_mmio_doorbell_cq"

FEWER = 0.95
"""The most register writes per command that count as spared. The number depends on how often
the device is still busy when a command is submitted, which is rare in a slow guest."""


def spared(machine: Machine, device: str) -> bool:
    """Returns whether some commands cause no register write. The controller polls the shadow
    doorbells only while it is busy, which is rare in a slow guest."""
    return any(max(per_command(machine, device)) < FEWER for _ in range(3))


def per_command(machine: Machine, device: str) -> tuple[float, float]:
    """Returns the number of doorbell register writes of I/O queues per command: for tails,
    and for heads. Each command is submitted alone."""
    with traced(machine, _COMMAND, _TAIL, _HEAD) as lines:
        fio(machine, device, rw="randwrite", bs="4k", size="4m", iodepth=32,
            iodepth_batch_submit=1, norandommap=1)
    # Queue 0 is the admin queue.
    commands, tails, heads = (
        len([line for line in lines
             if line.startswith(event) and "qid 0 " not in line + " "])
        for event in (_COMMAND, _TAIL, _HEAD))
    assert commands >= 1024
    return tails / commands, heads / commands


@pytest.mark.essential
def test_registers_are_spared(machine: Machine, pf: PhysicalFunction) -> None:
    """With shadow doorbells, some commands need no register write. They work after a reset,
    in which the controller forgets their addresses."""
    device = disk(machine, pf.live(), 1)
    assert spared(machine, device)
    with traced(machine, _CONFIG) as lines:
        machine.run(f"nvme reset {pf.device}")
        pf.live()
    assert len(lines) == 1
    assert spared(machine, device)


def test_virtual_functions(machine: Machine, pf: PhysicalFunction) -> None:
    """Each VF has its own shadow doorbells."""
    with traced(machine, _CONFIG) as lines:
        assert pf.set_vfs(2) == 0
        disks = private_disks(machine, pf)
    assert len(lines) == 2
    for device in disks:
        assert spared(machine, device)
    assert pf.set_vfs(0) == 0


@pytest.mark.shape(Shape(shadow_doorbells=False))
def test_without(machine: Machine, pf: PhysicalFunction) -> None:
    """A controller without shadow doorbells gets a register write for each command."""
    with traced(machine, _CONFIG) as lines:
        machine.run(f"nvme reset {pf.device}")
        device = disk(machine, pf.live(), 1)
    assert not lines
    tails, _ = per_command(machine, device)
    assert tails == 1
