# SPDX-License-Identifier: GPL-2.0
"""What is mapped for DMA is unmapped where it has to be, and only there.

The kernel traces each mapping.
"""

import re
from dataclasses import replace

import pytest

from guest.machine import Machine
from guest.shape import Format, Shape
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.tracing import kernel_traced

_DMA_DEBUG = "/sys/kernel/debug/dma-api"
"""Exists on a kernel that checks how DMA is mapped: there, everything is to be unmapped."""

_BUFFERS = "/sys/kernel/debug/swiotlb/io_tlb_used"
"""Tells how many slots of bounce buffers are in use."""

# As those of test_data.py, so that both run in the same machines.
SHAPE = Shape(cpus=2, namespaces=0, namespace_mib=32, formats=(Format(metadata=8),))
TRANSLATED = replace(SHAPE, iommu=True)
BOUNCED = replace(SHAPE, bounced=True)
_ONE = {"bs": "4k", "size": "1m", "rw": "randread"}
"""Requests of one segment, for fio."""
_MANY = {"bs": "32k", "size": "8m", "rw": "randwrite"}
"""Requests of several segments."""


def traced_mappings(machine: Machine, pf: PhysicalFunction, device: str,
                    **options: object) -> tuple[int, int]:
    """Runs fio. Returns how many segments were mapped for ``pf``, and how many unmapped."""
    names = ("dma_map_phys", "dma_unmap_phys")
    with kernel_traced(machine, *(f"dma/{name}" for name in names)) as lines:
        fio(machine, device, verify=0, **options)
    mapped, unmapped = (
        sum(f" {name}: {pf.address} " in line for line in lines) for name in names)
    return mapped, unmapped


@pytest.mark.parametrize("shape, options", [
    pytest.param(shape, options, marks=pytest.mark.shape(shape), id=name)
    for name, shape, options in (
        ("direct-one", SHAPE, _ONE), ("direct-many", SHAPE, _MANY),
        ("bounced-one", BOUNCED, _ONE), ("bounced-many", BOUNCED, _MANY),
        ("translated-one", TRANSLATED, _ONE))])
def test_only_what_must_be(machine: Machine, pf: PhysicalFunction, shape: Shape,
                           options: dict[str, object]) -> None:
    """Nothing is unmapped for a device that reaches memory directly, unless there are bounce
    buffers: C's driver does so for each single segment."""
    device = disk(machine, pf.live(), 1)
    mapped, unmapped = traced_mappings(machine, pf, device, **options)
    is_checked = not machine.run(f"test -e {_DMA_DEBUG}", check=False).rc
    assert mapped >= 128
    assert unmapped == (mapped if shape != SHAPE or is_checked else 0)


@pytest.mark.shape(TRANSLATED)
def test_ranges_of_an_iommu(machine: Machine, pf: PhysicalFunction) -> None:
    """An IOMMU makes the segments of a request one range, all of which is given back."""
    device = disk(machine, pf.live(), 1)
    with kernel_traced(machine, "iommu/map", "iommu/unmap") as lines:
        fio(machine, device, verify=0, **_MANY)
    mapped, unmapped = (
        sum(int(size, 0) for size in re.findall(rf" {name}: .* size=(\w+)", "\n".join(lines)))
        for name in ("map", "unmap"))
    assert mapped >= 8 << 20
    assert unmapped == mapped


@pytest.mark.shape(BOUNCED)
def test_bounced_data_arrives(machine: Machine, pf: PhysicalFunction) -> None:
    """Data comes through bounce buffers, which are given back."""
    device = disk(machine, pf.live(), 1)
    used = int(machine.read(_BUFFERS))
    fio(machine, device, bsrange="512-256k", size="16m", rw="randwrite", iodepth=8)
    assert int(machine.read(_BUFFERS)) <= used
