# SPDX-License-Identifier: GPL-2.0
"""Shadow doorbells: most of what a controller is told is told in memory."""

import pytest

from faults.rules import Faults
from guest.machine import Machine
from guest.shape import Shape
from guest.trace import traced
from subject.disks import disk, private_disks
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.messages import said

_CONFIG = "pci_nvme_dbbuf_config"
_COMMAND = "pci_nvme_io_cmd"
_TAIL = "pci_nvme_mmio_doorbell_sq"
_HEAD = "pci_nvme_mmio_doorbell_cq"

FEWER = 0.95
"""How many writes for a command are fewer than one. It depends on how often the
device has work left when it is told of more: in a slow guest, seldom."""


def spared(machine: Machine, device: str) -> bool:
    """Whether there are commands without a write. The controller looks at memory while
    it is busy, which in a guest that is slow besides is not always so."""
    return any(max(per_command(machine, device)) < FEWER for _ in range(3))


def per_command(machine: Machine, device: str) -> tuple[float, float]:
    """Returns how many writes to registers of I/O queues there are for a command:
    of tails, and of heads. Each command is submitted for itself."""
    with traced(machine, _COMMAND, _TAIL, _HEAD) as lines:
        fio(machine, device, rw="randwrite", bs="4k", size="4m", iodepth=32,
            iodepth_batch_submit=1, norandommap=1)
    # The admin queue is number 0.
    commands, tails, heads = (
        len([line for line in lines
             if line.startswith(event) and "qid 0 " not in line + " "])
        for event in (_COMMAND, _TAIL, _HEAD))
    assert commands >= 1024
    return tails / commands, heads / commands


@pytest.mark.essential
def test_registers_are_spared(machine: Machine, pf: PhysicalFunction) -> None:
    """Without, there is a write for each command. A controller forgets where they
    are when it is reset."""
    device = disk(machine, pf.live(), 1)
    assert spared(machine, device)
    with traced(machine, _CONFIG) as lines:
        machine.run(f"nvme reset {pf.device}")
        pf.live()
    assert len(lines) == 1
    assert spared(machine, device)


def test_virtual_functions(machine: Machine, pf: PhysicalFunction) -> None:
    """Each VF has its own."""
    with traced(machine, _CONFIG) as lines:
        assert pf.set_vfs(2) == 0
        disks = private_disks(machine, pf)
    assert len(lines) == 2
    for device in disks:
        assert spared(machine, device)
    assert pf.set_vfs(0) == 0


@pytest.mark.shape(Shape(shadow_doorbells=False))
def test_without(machine: Machine, pf: PhysicalFunction) -> None:
    """A controller that has none is told everything by registers."""
    with traced(machine, _CONFIG) as lines:
        machine.run(f"nvme reset {pf.device}")
        device = disk(machine, pf.live(), 1)
    assert not lines
    tails, _ = per_command(machine, device)
    assert tails == 1


@pytest.mark.faults
@pytest.mark.shape(Shape(shadow_doorbells=False))
def test_refused(machine: Machine, pf: PhysicalFunction) -> None:
    """So is one that only says that it has them."""
    faults = Faults(machine)
    if not faults.available:
        pytest.skip("the driver makes up no faults")
    # The upper byte of OACS in Identify Controller, where QEMU's has nothing.
    faults.command("data=1 at=257 size=1 opcode=6 dword10=1")
    with said(machine) as lines:
        machine.run(f"nvme reset {pf.device}")
        device = disk(machine, pf.live(), 1)
    assert any("shadow doorbells cannot be used" in line for line in lines), lines
    tails, _ = per_command(machine, device)
    assert tails == 1
