# SPDX-License-Identifier: GPL-2.0
"""Namespaces whose blocks have metadata, and protection information in it."""

import random
import shlex

import pytest

from guest.machine import Machine
from guest.shape import Format, Shape
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio

OPAQUE = (
    Format(metadata=8),
    Format(metadata=64, block=4096),
)
PROTECTED = (
    Format(metadata=8, protection=1),
    Format(metadata=8, protection=2, block=4096),
    Format(metadata=16, protection=1),
    Format(metadata=64, protection=3, block=4096, first=True),
)
INSERTED = Format(metadata=8, protection=1, extended=True)
"""The block layer does not support this format, but the controller inserts the metadata."""
EXTENDED = Format(metadata=8, extended=True)
"""A format that the block layer cannot use at all."""

SHAPE = Shape(cpus=2, namespaces=0, namespace_mib=32,
              formats=(*OPAQUE, *PROTECTED, INSERTED, EXTENDED))
TRANSLATED = Shape(cpus=2, namespaces=0, namespace_mib=32, iommu=True,
                   formats=(*OPAQUE, *PROTECTED))
_BLOCKS = 3
"""The number of blocks that a passthrough command transfers."""
_LBA = 5
"""The first block of the transfer."""


def disk_of(machine: Machine, pf: PhysicalFunction, layout: Format) -> str:
    """Returns the block device of the namespace with a format of the shape."""
    shape = machine.shape
    nsid = shape.first_formatted_nsid + shape.formats.index(layout)
    return disk(machine, pf.live(), nsid)


def guard(data: bytes) -> int:
    """Returns the CRC that protects a block (T10 DIF, polynomial 0x8bb7)."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8bb7 if crc & 0x8000 else crc << 1) & 0xffff
    return crc


def protection(layout: Format, data: bytes) -> bytes:
    """Returns the metadata that the block layer makes for blocks from _LBA on."""
    made = b""
    for number in range(_BLOCKS):
        block = data[number * layout.block:][:layout.block]
        rest = bytes(layout.metadata - 8)
        covered = block if layout.first else block + rest
        # In type 3 the reference tag has no meaning; the kernel fills in 512-byte sectors.
        sectors = layout.block // 512 if layout.protection == 3 else 1
        tag = (_LBA + number) * sectors
        tuple_ = guard(covered).to_bytes(2, "big") + bytes(2) + tag.to_bytes(4, "big")
        made += tuple_ + rest if layout.first else rest + tuple_
    return made


def transfer(machine: Machine, command: str, device: str, layout: Format,
             **options: object) -> None:
    """Reads or writes _BLOCKS blocks by nvme-cli, with /run/data and /run/metadata."""
    if command == "read":
        machine.run("rm -f /run/data /run/metadata")
    extra = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    machine.run(shlex.join([
        "nvme", command, device, f"--start-block={_LBA}",
        f"--block-count={_BLOCKS - 1}", f"--data-size={_BLOCKS * layout.block}",
        f"--metadata-size={_BLOCKS * layout.metadata}", "--data=/run/data",
        "--metadata=/run/metadata", *extra]))


def copy_in(machine: Machine, device: str, layout: Format, data: bytes) -> None:
    """Writes ``data`` at _LBA, through the block layer."""
    machine.put("/run/blocks", data)
    machine.run(f"dd if=/run/blocks of={device} bs={layout.block} seek={_LBA}"
                " oflag=direct")


def copy_out(machine: Machine, device: str, layout: Format) -> bytes | None:
    """Reads from _LBA, through the block layer; None if that fails."""
    result = machine.run(f"dd if={device} of=/run/blocks bs={layout.block}"
                         f" skip={_LBA} count={_BLOCKS} iflag=direct", check=False)
    return None if result.rc else machine.get("/run/blocks")


def some_bytes(count: int) -> bytes:
    """Returns bytes that differ from call to call, but not from run to run."""
    return _random.randbytes(count)


_random = random.Random(1)


@pytest.mark.shape(SHAPE)
def test_block_sizes(machine: Machine, pf: PhysicalFunction) -> None:
    """A disk has all blocks of its namespace, or a size of 0 if the metadata is interleaved."""
    for layout in SHAPE.formats:
        device = disk_of(machine, pf, layout).removeprefix("/dev/")
        queue = f"/sys/block/{device}/queue/logical_block_size"
        if layout == EXTENDED:
            assert machine.read(f"/sys/block/{device}/size") == "0"
        else:
            assert machine.read(f"/sys/block/{device}/size") != "0"
            assert machine.read(queue) == str(layout.block)


def verify_all(machine: Machine, pf: PhysicalFunction,
               formats: tuple[Format, ...]) -> None:
    """Writes and verifies in all formats at once, with direct I/O and by the page cache."""
    disks = [disk_of(machine, pf, layout) for layout in formats]
    fio(machine, *disks, bs="4k", size="1m", iodepth=16)
    fio(machine, *disks, bsrange="4k-256k", blockalign="4k", size="4m", rw="write",
        iodepth=8)
    fio(machine, *disks, ioengine="psync", direct=0, end_fsync=1, invalidate=1,
        bs="64k", size="4m", iodepth=1)


@pytest.mark.shape(SHAPE)
def test_block_layer(machine: Machine, pf: PhysicalFunction) -> None:
    verify_all(machine, pf, SHAPE.formats[:-1])


@pytest.mark.shape(SHAPE)
def test_controller_gets_what_the_block_layer_makes(
        machine: Machine, pf: PhysicalFunction) -> None:
    """Guards and reference tags are read back as the block layer generated them, and as zeros
    where the metadata is not protection information."""
    for layout in (*OPAQUE, *PROTECTED):
        device = disk_of(machine, pf, layout)
        data = some_bytes(_BLOCKS * layout.block)
        copy_in(machine, device, layout, data)
        transfer(machine, "read", device, layout)
        expected = (protection(layout, data) if layout.protection
                    else bytes(_BLOCKS * layout.metadata))
        assert machine.get("/run/metadata") == expected, layout
        assert machine.get("/run/data") == data, layout
        assert copy_out(machine, device, layout) == data, layout


@pytest.mark.shape(SHAPE)
def test_passthrough(machine: Machine, pf: PhysicalFunction) -> None:
    """A passthrough command carries the user's metadata."""
    for layout in OPAQUE:
        device = disk_of(machine, pf, layout)
        data = some_bytes(_BLOCKS * layout.block)
        metadata = some_bytes(_BLOCKS * layout.metadata)
        machine.put("/run/data", data)
        machine.put("/run/metadata", metadata)
        transfer(machine, "write", device, layout)
        transfer(machine, "read", device, layout)
        assert machine.get("/run/data") == data, layout
        assert machine.get("/run/metadata") == metadata, layout


@pytest.mark.shape(SHAPE)
def test_wrong_guard_is_found(machine: Machine, pf: PhysicalFunction) -> None:
    """A block whose guard does not match cannot be read through the block layer."""
    for layout in PROTECTED:
        device = disk_of(machine, pf, layout)
        data = some_bytes(_BLOCKS * layout.block)
        right = protection(layout, data)
        wrong = bytearray(right)
        wrong[0 if layout.first else layout.metadata - 8] ^= 1
        machine.put("/run/data", data)
        for metadata, result in ((right, data), (wrong, None), (right, data)):
            machine.put("/run/metadata", metadata)
            # PRINFO 0: the controller neither generates nor checks the guard.
            transfer(machine, "write", device, layout, prinfo=0)
            assert copy_out(machine, device, layout) == result, layout


@pytest.mark.shape(SHAPE)
def test_io_uring_passthrough(machine: Machine, pf: PhysicalFunction) -> None:
    """fio generates and checks protection information itself, and the controller checks it."""
    for layout in PROTECTED[:2]:
        device = disk_of(machine, pf, layout).replace("nvme", "ng")
        fio(machine, device, ioengine="io_uring_cmd", cmd_type="nvme", pi_act=0,
            pi_chk="GUARD,REFTAG", bs=4 * layout.block, direct=0, size="1m",
            md_per_io_size=4 * layout.metadata, iodepth=8)


@pytest.mark.shape(TRANSLATED)
def test_translated(machine: Machine, pf: PhysicalFunction) -> None:
    """An IOMMU reports accesses to memory that is not mapped for the device."""
    verify_all(machine, pf, TRANSLATED.formats)
    layout = OPAQUE[0]
    device = disk_of(machine, pf, layout)
    metadata = some_bytes(_BLOCKS * layout.metadata)
    machine.put("/run/data", some_bytes(_BLOCKS * layout.block))
    machine.put("/run/metadata", metadata)
    transfer(machine, "write", device, layout)
    transfer(machine, "read", device, layout)
    assert machine.get("/run/metadata") == metadata
