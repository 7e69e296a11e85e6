# SPDX-License-Identifier: GPL-2.0
"""The Controller Memory Buffer: submission queues and data in the device's memory."""

import re
from collections.abc import Iterator

import pytest

from guest.errors import CommandFailed
from guest.machine import Machine
from guest.shape import Shape
from guest.trace import traced
from subject.controllers import controllers
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio, start_io
from subject.messages import said

CMB_MIB = 4
BUFFER = pytest.mark.shape(Shape(vfs=0, cmb_mib=CMB_MIB))
MIB = 1 << 20
CMBMSC, CMBMSC_HIGH, CC = 0x50, 0x54, 0x14
"""Registers."""


def memory(pf: PhysicalFunction, name: str) -> int:
    """Returns an attribute of a function's peer-to-peer memory."""
    return int(pf.machine.read(f"{pf.sysfs}/p2pmem/{name}"))


def bar(pf: PhysicalFunction, index: int) -> range:
    """Returns the addresses of a BAR."""
    line = pf.machine.read(f"{pf.sysfs}/resource").splitlines()[index]
    first, last = (int(word, 16) for word in line.split()[:2])
    return range(first, last + 1)


def created(lines: list[str]) -> dict[int, int]:
    """Returns the address of each I/O submission queue whose creation is in a trace."""
    found = {}
    for line in lines:
        match = re.search(r"addr=(0x\w+), sqid=(\d+)", line)
        if match:
            found[int(match[2])] = int(match[1], 16)
    return found


def sizes(lines: list[str]) -> set[int]:
    """Returns the numbers of entries of the submission queues of a trace."""
    return {int(size) + 1 for line in lines for size in re.findall(r"qsize=(\d+)", line)}


def attributes(pf: PhysicalFunction) -> dict[str, str]:
    """Returns the buffer's registers, as the controller's sysfs folder shows them."""
    listed = pf.machine.run(
        f"cd /sys/class/nvme/{pf.live().name} && for a in cmb cmbloc cmbsz;"
        " do [ ! -e $a ] || { echo $a; cat $a; echo .; }; done").out
    return {name: text for name, text in re.findall(r"(\w+)\n(.*?)\.\n", listed, re.S)}


@BUFFER
@pytest.mark.essential
def test_queues(machine: Machine, pf: PhysicalFunction) -> None:
    """I/O submission queues are in the buffer, and are created there again by
    each reset, once the controller knows the buffer's address."""
    device = disk(machine, pf.live(), 1)
    where = bar(pf, 2)
    assert len(where) == CMB_MIB * MIB == memory(pf, "size")
    assert memory(pf, "published") == 1
    queues = pf.live().io_queues
    assert memory(pf, "available") == CMB_MIB * MIB - queues * (64 << 10)

    before = {}
    for reset in f"nvme reset {pf.device}", f"echo 1 > {pf.sysfs}/reset":
        with traced(machine, "pci_nvme_create_sq", "pci_nvme_mmio_write") as lines:
            machine.run(reset)
            pf.live()
        addresses = created(lines)
        assert len(addresses) == queues
        assert all(address in where for address in addresses.values())
        # The memory is the same as before.
        assert addresses == (before or addresses)
        before = addresses
        writes = re.findall(r"addr (0x\w+) data (0x\w+)", "\n".join(lines))
        written = [(int(at, 16), int(value, 16)) for at, value in writes]
        low, high = where.start & 0xffff_ffff, where.start >> 32
        control = written.index((CMBMSC, low | 3))
        assert written[control - 1] == (CMBMSC_HIGH, high)
        enabled = [at == CC and value & 1 for at, value in written]
        assert control < len(written) - enabled[::-1].index(1)
        fio(machine, device, bsrange="512-256k", size="4m")


@BUFFER
def test_attributes(machine: Machine, pf: PhysicalFunction, unloaded: Driver) -> None:
    """The registers read as with the kernel's own driver."""
    found = []
    for name in "nvme_rs", "nvme":
        driver = Driver(machine, name)
        driver.load()
        found.append(attributes(pf))
        driver.unload()
    ours, theirs = found
    assert ours == theirs
    assert int(ours["cmbsz"]) >> 12 == CMB_MIB


@BUFFER
def test_not_wanted(machine: Machine, pf: PhysicalFunction, unloaded: Driver) -> None:
    """With use_cmb_sqes=0 the queues are not in the buffer, which can still be used."""
    with traced(machine, "pci_nvme_create_sq") as lines:
        unloaded.load("use_cmb_sqes=0")
        device = disk(machine, pf.live(), 1)
    addresses = created(lines)
    assert addresses and not any(a in bar(pf, 2) for a in addresses.values())
    assert memory(pf, "available") == memory(pf, "size")
    fio(machine, device, size="2m")


@pytest.mark.shape(Shape(cpus=6, vfs=0, cmb_mib=2, legacy_cmb=True))
def test_legacy_and_small(machine: Machine, pf: PhysicalFunction,
                          unloaded: Driver) -> None:
    """The buffer of a controller before revision 1.4 works. If it is small, all queues are
    short enough to fit, with either driver, and stay so."""
    entries = {}
    for name in "nvme", "nvme_rs":
        driver = Driver(machine, name)
        with traced(machine, "pci_nvme_create_sq") as lines, said(machine) as log:
            # Each queue would take 128 KiB, as QEMU's queues have 2048 entries at most.
            driver.load("io_queue_depth=4095 write_queues=6 poll_queues=6")
            device = disk(machine, pf.live(), 1)
        found = created(lines)
        assert len(found) == 18 and all(address in bar(pf, 2) for address in found.values())
        entries[name] = sizes(lines)
        assert machine.read(f"/sys/class/nvme/{pf.live().name}/sqsize") == "1791"
        fio(machine, device, bsrange="512-128k", size="4m")
        if name == "nvme":
            driver.unload()
    assert entries["nvme"] == entries["nvme_rs"] == {1792}
    assert any("18 of 18 submission queues" in line for line in log)
    # The tags are there, so longer queues would have no use, and shorter ones would be too short.
    machine.run("echo 0 > /sys/module/nvme_rs/parameters/write_queues")
    with traced(machine, "pci_nvme_create_sq") as lines:
        machine.run(f"nvme reset {pf.device}")
    assert len(created(lines)) == 12 and sizes(lines) == {1792}
    fio(machine, device, bsrange="512-128k", size="4m")


@pytest.fixture
def busy(machine: Machine, pf: PhysicalFunction) -> Iterator[int]:
    """Yields a process that does I/O on the controller's disk all the time."""
    controller = pf.live()
    yield start_io(machine, controller, disk(machine, controller, 1),
                   time_based=1, runtime=60, size="4m")


@BUFFER
def test_removal(machine: Machine, pf: PhysicalFunction, busy: int) -> None:
    """A function is removed under I/O. Its queues free their memory in the buffer, without
    which it could not be unbound."""
    pf.unbind()
    machine.finish(busy)
    assert not controllers(machine)
    assert machine.run(f"test -e {pf.sysfs}/p2pmem", check=False).rc
    assert pf.bind("nvme_rs") == 0
    fio(machine, disk(machine, pf.live(), 1), size="1m")


@BUFFER
def test_unplug(machine: Machine, pf: PhysicalFunction, busy: int) -> None:
    machine.unplug()
    machine.finish(busy, 120)
    machine.wait_for(lambda: not controllers(machine), "controller gone", 60)
    machine.wait_for(lambda: machine.run(f"test -e {pf.sysfs}", check=False).rc,
                     "function gone", 60)
    machine.plug()
    machine.run("echo 1 > /sys/bus/pci/rescan")
    fio(machine, disk(machine, pf.live(), 1), size="1m")


@BUFFER
def test_data(machine: Machine, pf: PhysicalFunction) -> None:
    """User space maps the buffer, and uses it for reads and writes of a disk."""
    device = disk(machine, pf.live(), 1)
    available = memory(pf, "available")
    for size in "512", "4k", "64k":
        fio(machine, device, mem=f"mmapshared:{pf.sysfs}/p2pmem/allocate",
            bs=size, size="1m", iodepth=4)
    assert memory(pf, "available") == available


@pytest.mark.shape(Shape(vfs=0, cmb_mib=CMB_MIB, controllers=2, switch=True))
def test_peers(machine: Machine, driver: Driver) -> None:
    """A controller transfers data to and from the memory of another one behind its switch."""
    owner, peer = physical_functions(machine)
    device = disk(machine, peer.live(), 1)
    owner.live()
    fio(machine, device, mem=f"mmapshared:{owner.sysfs}/p2pmem/allocate",
        bs="64k", size="1m", iodepth=4)


@pytest.mark.shape(Shape(vfs=0, cmb_mib=CMB_MIB, controllers=2))
def test_strangers(machine: Machine, driver: Driver) -> None:
    """I/O with the memory of a controller that the disk's one cannot reach is refused."""
    owner, peer = physical_functions(machine)
    device = disk(machine, peer.live(), 1)
    owner.live()
    with pytest.raises(CommandFailed, match="Invalid argument|Remote I/O"):
        fio(machine, device, mem=f"mmapshared:{owner.sysfs}/p2pmem/allocate",
            bs="64k", size="1m", iodepth=4)


def test_no_buffer(machine: Machine, pf: PhysicalFunction) -> None:
    assert not attributes(pf)
    assert machine.run(f"test -e {pf.sysfs}/p2pmem", check=False).rc
