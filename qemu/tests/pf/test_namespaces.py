# SPDX-License-Identifier: GPL-2.0
"""Namespaces of all kinds, which are attached and detached."""

import json
from pathlib import Path
from typing import Any

import pytest

from guest.machine import Machine
from guest.shape import (
    FIRST_PRIVATE_NSID, ZONES_ACTIVE, ZONES_OPEN, ZONE_MIB, Format, Shape,
)
from guest.trace import traced
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command

LARGE = Format(block=4096)
ZONED = (Format(zoned=True), Format(zoned=True, block=4096))
SHAPE = Shape(cpus=2, namespace_mib=32, formats=(LARGE, *ZONED))

pytestmark = pytest.mark.shape(SHAPE)

HOT_NSID = SHAPE.first_formatted_nsid + len(SHAPE.formats)
_ZONES = SHAPE.namespace_mib // ZONE_MIB
_MIB = 1 << 20
_EVENT = "pci_nvme_enqueue_event"


def disk_of(machine: Machine, pf: PhysicalFunction, layout: Format) -> str:
    """Returns the block device of the namespace with a format of the shape."""
    nsid = SHAPE.first_formatted_nsid + SHAPE.formats.index(layout)
    return disk(machine, pf.live(), nsid)


def wait_for_end(machine: Machine, device: str) -> None:
    """Waits until a block device is gone."""
    machine.wait_for(lambda: machine.run(f"test -b {device}", check=False).rc,
                     f"end of {device}", 30)


def queue(machine: Machine, device: str, *names: str) -> list[str]:
    """Reads attributes of a disk's queue."""
    folder = f"/sys/block/{device.removeprefix('/dev/')}/queue"
    return machine.run(f"cd {folder} && cat {' '.join(names)}").out.split()


class Zone:
    """A zone of a zoned namespace, by its number."""

    def __init__(self, machine: Machine, device: str, layout: Format,
                 number: int) -> None:
        self._machine = machine
        self._device = device
        self._number = number
        self.start = number * ZONE_MIB * _MIB // layout.block
        """The number of its first logical block."""

    def manage(self, action: str) -> None:
        """Opens, closes, finishes or resets the zone by nvme-cli."""
        self._machine.run(f"nvme zns {action}-zone {self._device} -s {self.start}")

    def report(self) -> tuple[str, int]:
        """Returns the state of the zone, and the number of its written blocks."""
        said: Any = json.loads(self._machine.run(
            f"nvme zns report-zones {self._device} --descs=1 --verbose"
            f" --start-lba={self.start} --output-format=json").out)
        zone = said["zone_list"][0]
        assert zone["slba"] == self.start
        return zone["state"], zone["wp"] - self.start


def test_block_sizes(machine: Machine, pf: PhysicalFunction) -> None:
    """A namespace with blocks of 4096 bytes works, also after one of another block size."""
    device = disk_of(machine, pf, LARGE)
    assert queue(machine, device, "logical_block_size") == ["4096"]
    fio(machine, device, rw="write", bsrange="4k-256k", blockalign="4k", size="2m")
    other = disk(machine, pf.live(), 1)
    for number, size in (4, "4096"), (0, "512"):
        machine.run(f"nvme format {other} --force --lbaf={number}")
        machine.wait_for(
            lambda: queue(machine, other, "logical_block_size") == [size],
            f"blocks of {size}")
        fio(machine, device, other, bs="4k", size="512k")


@pytest.mark.parametrize("layout", ZONED, ids=["512", "4096"])
def test_zoned(machine: Machine, pf: PhysicalFunction, layout: Format) -> None:
    """The kernel knows the zones, and they are written in order."""
    device = disk_of(machine, pf, layout)
    assert queue(machine, device, "zoned", "nr_zones", "chunk_sectors",
                 "max_open_zones", "max_active_zones", "logical_block_size") == [
        "host-managed", str(_ZONES), str(ZONE_MIB * _MIB // 512), str(ZONES_OPEN),
        str(ZONES_ACTIVE), str(layout.block)]
    assert int(queue(machine, device, "zone_append_max_bytes")[0]) >= layout.block
    # The capacity of all zones.
    results = fio(machine, device, rw="write", zonemode="zbd", bs="64k", iodepth=8,
                  size=f"{_ZONES * ZONE_MIB}m", max_open_zones=ZONES_OPEN)
    assert results[0]["write"]["io_bytes"] == _ZONES * ZONE_MIB * 3 // 4 * _MIB
    assert [Zone(machine, device, layout, number).report()[0]
            for number in (0, _ZONES - 1)] == ["FULL", "FULL"]
    # Writes out of order within a zone; full zones are reset.
    fio(machine, device, rw="randwrite", zonemode="zbd", bs="16k", iodepth=8,
        size=f"{_ZONES * ZONE_MIB}m", io_size="2m", max_open_zones=ZONES_OPEN)


@pytest.mark.parametrize("layout", ZONED, ids=["512", "4096"])
def test_zone(machine: Machine, pf: PhysicalFunction, layout: Format) -> None:
    """A zone goes from empty to full; a reset of the controller does not change it."""
    device = disk_of(machine, pf, layout)
    zone = Zone(machine, device, layout, 2)
    zone.manage("reset")
    assert zone.report() == ("EMPTY", 0)
    zone.manage("open")
    assert zone.report() == ("EXP_OPENED", 0)
    data = bytes(range(256)) * (3 * layout.block // 256)
    machine.put("/run/data", data)
    for count in 1, 2:
        machine.run(f"nvme zns zone-append {device} --zslba={zone.start}"
                    f" --data-size={len(data)} --data=/run/data")
        assert zone.report() == ("EXP_OPENED", 3 * count)
    zone.manage("close")
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    assert zone.report() == ("CLOSED", 6)
    write = (f"nvme write {device} --block-count=0 --data-size={layout.block}"
             " --data=/run/data --start-block={}")
    # Writes behind the write pointer, before it, and at it.
    for number in 7, 5:
        refused = machine.run(write.format(zone.start + number), check=False)
        assert "Zone Invalid Write" in refused.err, refused
    machine.run(write.format(zone.start + 6))
    assert zone.report() == ("IMP_OPENED", 7)
    machine.run(f"dd if={device} of=/run/out bs={layout.block} skip={zone.start}"
                " count=7 iflag=direct")
    assert machine.get("/run/out") == 2 * data + data[:layout.block]
    zone.manage("finish")
    assert zone.report()[0] == "FULL"
    zone.manage("reset")


def test_come_and_go(machine: Machine, pf: PhysicalFunction) -> None:
    """The controller reports each attach and detach by an event. The disk appears, or is
    removed under I/O."""
    controller = pf.live()
    nsids = range(FIRST_PRIVATE_NSID, FIRST_PRIVATE_NSID + 4)
    with traced(machine, _EVENT) as events:
        for nsid in nsids:
            pf.attach(nsid, controller.cntlid)
        disks = [disk(machine, controller, nsid) for nsid in nsids]
    # The event is Attached Namespace Attributes Changed; nvme-core then reads its log page.
    assert [line for line in events if line.endswith("lid 0x4")], events
    fio(machine, *disks, size="512k")

    going = machine.spawn(fio_command(*disks[:2], time_based=1, runtime=60))
    staying = machine.spawn(fio_command(*disks[2:], size="4m"))
    machine.run("sleep 1")
    with traced(machine, _EVENT) as events:
        for nsid in nsids[:2]:
            pf.detach(nsid, controller.cntlid)
        for device in disks[:2]:
            wait_for_end(machine, device)
    assert events
    assert machine.finish(going) != 0
    assert machine.finish(staying) == 0
    for nsid in nsids[2:]:
        pf.detach(nsid, controller.cntlid)


def test_hot_added(machine: Machine, pf: PhysicalFunction, tmp_path: Path) -> None:
    """A namespace that was created after the probe appears after a rescan, as QEMU sends
    no event for it."""
    controller = pf.live()
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(32 << 20)
    machine.qmp.cmd("blockdev-add", driver="raw",
                    file={"driver": "file", "filename": str(path)},
                    **{"node-name": "hot"})
    machine.qmp.cmd("device_add", driver="nvme-ns", drive="hot", bus="nvme0",
                    id="hot", nsid=HOT_NSID)
    machine.run(f"nvme ns-rescan {pf.device}")
    device = disk(machine, controller, HOT_NSID)
    fio(machine, device, size="512k")
    assert pf.set_vfs(1) == 0
    vf, = pf.vfs
    fio(machine, disk(machine, vf.live(), HOT_NSID), size="512k")
    assert pf.set_vfs(0) == 0

    pf.detach(HOT_NSID, controller.cntlid)
    wait_for_end(machine, device)
