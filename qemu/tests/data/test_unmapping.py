# SPDX-License-Identifier: GPL-2.0
"""What is mapped for DMA is unmapped where it has to be, and only there.

The kernel traces each mapping.
"""

import pytest

from guest.machine import Machine
from guest.shape import Shape
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio

_TRACING = "/sys/kernel/tracing"
_EVENTS = f"{_TRACING}/events/dma"
_DMA_DEBUG = "/sys/kernel/debug/dma-api"
"""Exists on a kernel that checks how DMA is mapped: there, everything is to be unmapped."""

_BUFFERS = "/sys/kernel/debug/swiotlb/io_tlb_used"
"""Tells how many slots of bounce buffers are in use."""

SHAPE = Shape(cpus=2, namespaces=0, namespace_mib=32)
TRANSLATED = Shape(cpus=2, namespaces=0, namespace_mib=32, iommu=True)
BOUNCED = Shape(cpus=2, namespaces=0, namespace_mib=32, bounced=True)
_SHAPES = [pytest.param(shape, marks=pytest.mark.shape(shape), id=name) for name, shape in (
    ("direct", SHAPE), ("translated", TRANSLATED), ("bounced", BOUNCED))]


def traced_mappings(machine: Machine, pf: PhysicalFunction, device: str,
                    **options: object) -> tuple[int, int]:
    """Runs fio. Returns how many segments were mapped for ``pf``, and how many unmapped."""
    names = ("dma_map_phys", "dma_unmap_phys")
    files = " ".join(f"{_EVENTS}/{name}/enable" for name in names)
    machine.run(f"echo > {_TRACING}/trace; for file in {files}; do echo 1 > $file; done")
    fio(machine, device, verify=0, **options)
    machine.run(f"for file in {files}; do echo 0 > $file; done")
    mapped, unmapped = (
        int(machine.run(f"grep -c ' {name}: {pf.address} ' {_TRACING}/trace",
                        check=False).out) for name in names)
    return mapped, unmapped


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("options", [
    pytest.param({"bs": "4k", "size": "1m", "rw": "randread"}, id="one"),
    pytest.param({"bs": "32k", "size": "8m", "rw": "randwrite"}, id="many")])
def test_only_what_must_be(machine: Machine, pf: PhysicalFunction, shape: Shape,
                           options: dict[str, object]) -> None:
    """Nothing is unmapped for a device that reaches memory directly, unless there are bounce
    buffers: C's driver does so for each single segment."""
    if machine.run(f"test -e {_EVENTS}", check=False).rc:
        pytest.skip("this kernel has no CONFIG_FTRACE")
    device = disk(machine, pf.live(), 1)
    mapped, unmapped = traced_mappings(machine, pf, device, **options)
    is_checked = not machine.run(f"test -e {_DMA_DEBUG}", check=False).rc
    if shape == SHAPE and not is_checked:
        assert mapped >= 128 and unmapped == 0, (mapped, unmapped)
    else:
        # An IOMMU may make several segments one range, which has no such events.
        assert mapped >= 128 or shape == TRANSLATED, mapped
        assert unmapped == mapped


@pytest.mark.shape(BOUNCED)
def test_bounced_data_arrives(machine: Machine, pf: PhysicalFunction) -> None:
    """Data comes through bounce buffers, which are given back."""
    device = disk(machine, pf.live(), 1)
    used = int(machine.read(_BUFFERS))
    fio(machine, device, bsrange="512-256k", size="16m", rw="randwrite", iodepth=8)
    assert int(machine.read(_BUFFERS)) <= used
