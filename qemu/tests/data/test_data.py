# SPDX-License-Identifier: GPL-2.0
"""The data and metadata pointers of commands: PRPs and SGLs.

QEMU traces each PRP and SGL that it reads.
"""

import re
from collections import Counter
from dataclasses import replace

import pytest

from guest.machine import Machine
from guest.shape import Format, Shape
from guest.trace import traced
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio

_PRP = "pci_nvme_map_prp"
_SGL = "pci_nvme_map_sgl"
_THRESHOLD = "/sys/module/nvme_rs/parameters/sgl_threshold"
_DATA_BLOCK = 0x0
_LAST_SEGMENT = 0x3
_METADATA = Format(metadata=8)
_SMALL = "4k"
"""A size that two PRP entries describe."""
_GAPS = {"bssplit": "512/90:4k/10", "rw": "write", "iodepth": 32,
         "iodepth_batch_submit": 16, "iodepth_batch_complete_min": 16}
"""Writes of neighbouring blocks from separate buffers: a merged request has gaps."""

SHAPE = Shape(cpus=2, namespaces=0, namespace_mib=32, formats=(_METADATA,))
TRANSLATED = replace(SHAPE, iommu=True)
BOUNCED = replace(SHAPE, bounced=True)


def list_blocks(machine: Machine, pf: PhysicalFunction) -> dict[int, int]:
    """Returns the number of lists that the driver has allocated, by their size in bytes."""
    found: dict[int, int] = {}
    for line in machine.read(f"{pf.sysfs}/pools").splitlines()[1:]:
        name, _active, blocks, size, _pages = line.rsplit(maxsplit=4)
        if name.startswith("nvme"):
            found[int(size)] = found.get(int(size), 0) + int(blocks)
    return found


def pointers(lines: list[str]) -> Counter[int | str]:
    """Counts data and metadata pointers: SGLs by the type of their first descriptor,
    and PRPs."""
    return Counter(_PRP if line.startswith(_PRP)
                   else int(re.findall(r"type 0x([0-9a-f]+)", line)[0], 16)
                   for line in lines)


@pytest.mark.shape(SHAPE)
def test_short_lists(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """Transfers of up to 33 pages do not take a page for their list."""
    pf.unbind()
    assert pf.bind(driver.name) == 0
    device = disk(machine, pf.live(), 1)
    fio(machine, device, bs="64k", size="4m", iomem_align="4k")
    made = list_blocks(machine, pf)
    assert made[256] and not made[4096]
    fio(machine, device, bs="256k", size="4m", iomem_align="4k")
    assert list_blocks(machine, pf)[4096]


@pytest.mark.shape(SHAPE)
def test_scattered_pages_have_prps(machine: Machine, pf: PhysicalFunction) -> None:
    device = disk(machine, pf.live(), 1)
    for size in (_SMALL, "64k"):
        with traced(machine, _PRP, _SGL) as lines:
            fio(machine, device, bs=size, size="512k", iomem_align="4k")
        found = pointers(lines)
        assert found[_PRP] and not found[_LAST_SEGMENT], found


@pytest.mark.shape(SHAPE)
def test_contiguous_data_has_one_descriptor(machine: Machine,
                                            pf: PhysicalFunction) -> None:
    """Contiguous data needs no list, whatever its length."""
    device = disk(machine, pf.live(), 1)
    machine.run("echo 8 > /proc/sys/vm/nr_hugepages")
    with traced(machine, _PRP, _SGL) as lines:
        fio(machine, device, bs="64k", size="2m", iodepth=4, mem="shmhuge")
    found = pointers(lines)
    assert found[_DATA_BLOCK] >= 64 and not found[_LAST_SEGMENT], found
    # The parameter turns SGLs off.
    machine.run(f"echo 0 > {_THRESHOLD}")
    with traced(machine, _PRP, _SGL) as lines:
        fio(machine, device, bs="64k", size="2m", iodepth=4, mem="shmhuge")
    machine.run(f"echo 32768 > {_THRESHOLD}; echo 0 > /proc/sys/vm/nr_hugepages")
    found = pointers(lines)
    assert found[_PRP] >= 64 and not found[_DATA_BLOCK], found


@pytest.mark.shape(SHAPE)
@pytest.mark.parametrize(("size", "kind"), [("32k", _LAST_SEGMENT), ("4k", _PRP)])
def test_threshold(machine: Machine, pf: PhysicalFunction, size: str,
                   kind: int | str) -> None:
    """Several segments of 32 KiB and more on average go into an SGL, shorter ones
    into PRPs."""
    device = disk(machine, pf.live(), 1)
    machine.run("echo 8 > /proc/sys/vm/nr_hugepages")
    with traced(machine, _PRP, _SGL) as lines:
        # With the largest size, the buffers are apart in memory; then commands are merged.
        fio(machine, device, bssplit=f"{size}/98:64k/2", rw="write", size="2m",
            mem="shmhuge", iodepth=16, iodepth_batch_submit=8,
            iodepth_batch_complete_min=8, do_verify=0)
    machine.run("echo 0 > /proc/sys/vm/nr_hugepages")
    found = pointers(lines)
    other = _PRP if kind == _LAST_SEGMENT else _LAST_SEGMENT
    assert found[kind] >= 4 and found[other] <= 2, found


@pytest.mark.shape(SHAPE)
def test_gaps(machine: Machine, pf: PhysicalFunction) -> None:
    """Data with gaps within pages, which PRPs cannot describe, is one command."""
    device = disk(machine, pf.live(), 1)
    with traced(machine, _PRP, _SGL) as lines:
        fio(machine, device, size="512k", **_GAPS)
    found = pointers(lines)
    assert found[_LAST_SEGMENT] > 8, found


@pytest.mark.shape(SHAPE)
def test_user_commands_have_sgls(machine: Machine, pf: PhysicalFunction) -> None:
    """User commands use SGLs, so that the controller detects a buffer that does not have the
    length of the transfer. Commands of the admin queue use PRPs only."""
    device = disk(machine, pf.live(), SHAPE.first_formatted_nsid)
    command = (f"nvme read {device} --start-block=0 --data-size={{}} --block-count={{}}"
               " --metadata-size={} --data=/run/data --metadata=/run/metadata")
    for blocks, kind in ((1, _DATA_BLOCK), (64, _LAST_SEGMENT)):
        with traced(machine, _PRP, _SGL) as lines:
            machine.run(command.format(512 * blocks, blocks - 1, 8 * blocks))
        found = pointers(lines)
        # One descriptor for the metadata, which is contiguous.
        expected = Counter([kind, _DATA_BLOCK])
        assert found - Counter({_PRP: found[_PRP]}) == expected, lines
    with traced(machine, _PRP, _SGL) as lines:
        machine.run(f"nvme id-ctrl {pf.device}")
    found = pointers(lines)
    assert found[_PRP] and found.total() == found[_PRP], lines


@pytest.mark.shape(SHAPE)
def test_merged_metadata(machine: Machine, pf: PhysicalFunction) -> None:
    """Writes with metadata are merged into one command, which has a descriptor for the
    metadata of each."""
    device = disk(machine, pf.live(), SHAPE.first_formatted_nsid)
    with traced(machine, _PRP, _SGL) as lines:
        fio(machine, device, size="512k", bs="4k", rw="write", iodepth=32,
            iodepth_batch_submit=8, iodepth_batch_complete_min=8)
    # QEMU reads the data pointer of a command first, then the metadata pointer.
    kinds = [re.findall(r"type 0x([0-9a-f]+) len (\d+)", line) for line in lines]
    metadata = [int(found[0][1]) for found in kinds
                if found and int(found[0][0], 16) == _LAST_SEGMENT
                and int(found[0][1]) < 4096]
    assert metadata and max(metadata) > 64, lines


@pytest.mark.parametrize("shape", [
    pytest.param(SHAPE, marks=pytest.mark.shape(SHAPE)),
    pytest.param(TRANSLATED, marks=pytest.mark.shape(TRANSLATED)),
    pytest.param(BOUNCED, marks=pytest.mark.shape(BOUNCED))])
def test_all_kinds(machine: Machine, pf: PhysicalFunction, shape: Shape) -> None:
    """Data arrives with each kind of pointer."""
    controller = pf.live()
    disks = [disk(machine, controller, nsid)
             for nsid in (1, shape.first_formatted_nsid)]
    machine.run("echo 16 > /proc/sys/vm/nr_hugepages")
    fio(machine, *disks, size="1m", **_GAPS)
    fio(machine, *disks, bsrange="512-256k", size="4m", rw="write", iodepth=4,
        iomem_align=512, mem="malloc")
    fio(machine, *disks, bsrange="512-512k", size="4m", rw="write", iodepth=4,
        mem="shmhuge")
    machine.run("echo 0 > /proc/sys/vm/nr_hugepages")
