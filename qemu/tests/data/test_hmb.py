# SPDX-License-Identifier: GPL-2.0
"""The Host Memory Buffer, with a simulated device part.

QEMU's controller does not support the feature. The driver's faults make it ask for a
buffer, and turn its refusal into success; it never uses the memory. The tests read the
descriptors where the controller would, in the guest's memory.
"""

import errno
import re
from collections.abc import Callable, Iterator

import pytest

from faults.power import agree, have_power_states
from faults.rules import Faults
from guest.machine import Machine
from guest.shape import Shape
from guest.trace import traced
from subject.attributes import write
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command, start_io
from subject.messages import said
from subject.sleep import link_saves_power, suspend

pytestmark = [pytest.mark.shape(Shape(vfs=0, cpus=2)), pytest.mark.faults]

PAGE = 4096
IDENTIFY, SET_FEATURES = 0x06, 0x09
HOST_MEMORY_BUFFER = 0x0d
ASQ = 0x28
EHM, MR = 1, 2
"""Enable Host Memory, Memory Return."""


@pytest.fixture
def faults(machine: Machine, driver: Driver) -> Iterator[Faults]:
    """Yields the fault rules of the driver, which are empty before and after the test."""
    found = Faults(machine)
    if not found.available:
        pytest.skip("the driver makes up no faults")
    found.clear()
    yield found
    if machine.alive:
        if driver.loaded:
            found.clear()
            driver.unload()
        driver.load()


def want(faults: Faults, preferred: int, minimum: int = 0, smallest: int = 0,
         most: int = 0, accept: bool = True) -> None:
    """Makes controllers that are identified from now on ask for a buffer of ``preferred``
    pages, and accept it if ``accept``."""
    identify = f"opcode={IDENTIFY} dword10=1 count=1000"
    faults.command(
        f"data={minimum << 32 | preferred} at=272 size=8 {identify}",
        f"data={most << 32 | smallest} at=332 size=6 {identify}")
    if accept:
        faults.command(f"status=0 opcode={SET_FEATURES}"
                       f" dword10={HOST_MEMORY_BUFFER} count=1000")


def rebind(pf: PhysicalFunction) -> list[str]:
    """Probes the function again, and returns the driver's messages."""
    pf.unbind()
    with said(pf.machine) as lines:
        assert pf.bind("nvme_rs") == 0
        pf.live()
    return lines


def attribute(pf: PhysicalFunction) -> str:
    return f"/sys/class/nvme/{pf.live().name}/hmb"


def words(machine: Machine, address: int, count: int) -> list[int]:
    """Returns 32-bit words of the guest's physical memory."""
    dump = machine.hmp(f"xp /{count}wx {address:#x}")
    return [int(word, 16) for line in dump.splitlines()
            for word in line.partition(":")[2].split()]


def sent(pf: PhysicalFunction, action: Callable[[], object]) -> list[list[int]]:
    """Returns dwords 11 to 15 of each Set Features command for the buffer that the device
    gets during ``action``."""
    with traced(pf.machine, "pci_nvme_mmio_doorbell_sq") as lines:
        action()
    first = int(pf.machine.read(f"{pf.sysfs}/resource").split()[0], 16)
    low, high = words(pf.machine, first + ASQ, 2)
    found = []
    for tail in re.findall(r"sqid 0 new_tail (\d+)", "\n".join(lines)):
        entry = words(pf.machine, (high << 32 | low) + (int(tail) - 1) % 32 * 64, 16)
        if entry[0] & 0xff == SET_FEATURES and entry[10] == HOST_MEMORY_BUFFER:
            found.append(entry[11:])
    return found


def pieces(machine: Machine, command: list[int]) -> list[tuple[int, int]]:
    """Returns the address and the pages of each descriptor to which a command points."""
    _, _, low, high, count = command
    assert low % 16 == 0
    entries = words(machine, high << 32 | low, 4 * count)
    rows = [entries[i:i + 4] for i in range(0, len(entries), 4)]
    assert not any(reserved for *_, reserved in rows)
    return [(high << 32 | low, pages) for low, high, pages, _ in rows]


def test_given(machine: Machine, pf: PhysicalFunction, faults: Faults) -> None:
    """The descriptors have as much memory as the controller prefers, and do not overlap."""
    want(faults, preferred=0x2000 + 3, minimum=0x1000, smallest=16)
    lines = rebind(pf)
    assert any("32768 KiB in 8 pieces" in line for line in lines), lines
    assert machine.read(attribute(pf)) == "1"
    assert sent(pf, lambda: write(machine, attribute(pf), "off")) == [[0] * 5]
    assert machine.read(attribute(pf)) == "0"
    command, = sent(pf, lambda: write(machine, attribute(pf), "y"))
    assert machine.read(attribute(pf)) == "1"
    flags, total, *_ = command
    assert flags == EHM
    # The last three pages are less than the minimum size of a descriptor.
    assert total == 0x2000
    found = sorted(pieces(machine, command))
    assert [pages for _, pages in found] == [1024] * 8
    assert all(address % PAGE == 0 for address, _ in found)
    assert all(one + pages * PAGE <= two
               for (one, pages), (two, _) in zip(found, found[1:]))
    assert write(machine, attribute(pf), "maybe") == errno.EINVAL
    # The controller has the buffer already.
    assert not sent(pf, lambda: write(machine, attribute(pf), 1))


@pytest.mark.essential
def test_given_back(machine: Machine, pf: PhysicalFunction, faults: Faults) -> None:
    """Resets under I/O give the controller the same memory again. Unbinding first takes the
    buffer back, and frees the memory with the device."""
    want(faults, preferred=0x1000, most=2)
    lines = rebind(pf)
    # Two descriptors describe at most two pieces of 4 MiB.
    assert any("8192 KiB in 2 pieces" in line for line in lines), lines
    command, = sent(pf, lambda: machine.run(
        f"echo 0 > {attribute(pf)}; echo 1 > {attribute(pf)}"))[1:]
    device = disk(machine, pf.live(), 1)
    for reset in f"nvme reset {pf.device}", f"echo 1 > {pf.sysfs}/reset":
        busy = machine.spawn(fio_command(device, size="4m", loops=4))
        before = faults.left()[2]
        machine.run(reset)
        pf.live()
        assert faults.left()[2] == before - 1
        assert machine.finish(busy, 120) == 0
        assert machine.read(attribute(pf)) == "1"
    again, = sent(pf, lambda: (machine.run(f"nvme reset {pf.device}"), pf.live()))
    assert again == [EHM | MR, *command[1:]]
    assert pieces(machine, again) == pieces(machine, command)
    before = faults.left()[2]
    pf.unbind()
    assert faults.left()[2] == before - 1
    assert pf.bind("nvme_rs") == 0
    pf.live()


def test_sleep(machine: Machine, pf: PhysicalFunction, faults: Faults) -> None:
    """The driver takes the buffer back before a controller sleeps in a power state, as the
    memory may be off then. After wake-up the controller gets the same buffer."""
    want(faults, preferred=0x1000)
    have_power_states(faults)
    agree(faults)
    rebind(pf)
    command, = sent(pf, lambda: machine.run(
        f"echo 0 > {attribute(pf)}; echo 1 > {attribute(pf)}"))[1:]
    with link_saves_power(machine):
        taken, given = sent(pf, lambda: suspend(machine))
    assert taken == [0] * 5
    assert given == [EHM | MR, *command[1:]]
    assert pieces(machine, given) == pieces(machine, command)
    assert machine.read(attribute(pf)) == "1"
    fio(machine, disk(machine, pf.live(), 1), size="1m")


def test_unplug(machine: Machine, pf: PhysicalFunction, faults: Faults) -> None:
    want(faults, preferred=0x1000)
    rebind(pf)
    controller = pf.live()
    busy = start_io(machine, controller, disk(machine, controller, 1),
                    time_based=1, runtime=60, size="4m")
    machine.unplug()
    machine.finish(busy, 120)
    machine.wait_for(lambda: machine.run(f"test -e {pf.sysfs}", check=False).rc,
                     "function gone", 60)
    machine.plug()
    machine.run("echo 1 > /sys/bus/pci/rescan")
    assert machine.read(attribute(pf)) == "1"


def test_wanted_after_a_reset(machine: Machine, pf: PhysicalFunction,
                              faults: Faults) -> None:
    """The attribute appears when a controller asks for a buffer after a reset, as with new
    firmware."""
    rebind(pf)
    assert machine.run(f"test -e {attribute(pf)}", check=False).rc
    want(faults, preferred=0x1000)
    machine.run(f"nvme reset {pf.device}")
    assert machine.read(attribute(pf)) == "1"
    assert write(machine, attribute(pf), 0) == 0


def test_changed_by_a_reset(machine: Machine, pf: PhysicalFunction,
                            faults: Faults) -> None:
    """A controller that wants more, or less, after a reset gets another buffer, and does not
    get the old one again when it wants that for a time without any."""
    def reset(preferred: int, minimum: int = 0) -> list[str]:
        faults.clear()
        if preferred:
            want(faults, preferred=preferred, minimum=minimum)
        with said(machine) as lines:
            machine.run(f"nvme reset {pf.device}")
            pf.live()
        return lines

    want(faults, preferred=0x1000)
    rebind(pf)
    for preferred, minimum, size in (
            (0x2000, 0x1800, "32768 KiB in 8 pieces"), (0x800, 0, "8192 KiB in 2 pieces")):
        lines: list[str] = []
        command, = sent(pf, lambda p=preferred, m=minimum: lines.extend(reset(p, m)))
        assert any(size in line for line in lines), lines
        assert command[:2] == [EHM, preferred]
        assert sum(pages for _, pages in pieces(machine, command)) == preferred
        assert machine.read(attribute(pf)) == "1"
    # More than the limit.
    assert any("raise max_host_mem_size_mb" in line for line in reset(0x10000, 0x10000))
    assert machine.read(attribute(pf)) == "0"
    command, = sent(pf, lambda: reset(0x800))
    assert command[:2] == [EHM, 0x800]
    assert not sent(pf, lambda: reset(0))
    command, = sent(pf, lambda: reset(0x800))
    assert command[:2] == [EHM, 0x800]
    # As before.
    again, = sent(pf, lambda: reset(0x800))
    assert again == [EHM | MR, *command[1:]]
    fio(machine, disk(machine, pf.live(), 1), size="1m")


def test_refused(machine: Machine, pf: PhysicalFunction, faults: Faults) -> None:
    """A controller that refuses the buffer works without it."""
    want(faults, preferred=0x1000, accept=False)
    lines = rebind(pf)
    assert any("not taken, status 0x" in line for line in lines), lines
    assert machine.read(attribute(pf)) == "0"
    assert write(machine, attribute(pf), 1) == errno.EIO
    fio(machine, disk(machine, pf.live(), 1), size="1m")


def test_limit(machine: Machine, pf: PhysicalFunction, faults: Faults,
               driver: Driver) -> None:
    """A parameter limits the buffer. If the limit is below the minimum, there is no buffer."""
    driver.unload()
    driver.load("max_host_mem_size_mb=3")
    want(faults, preferred=0x1000, minimum=3 << 8)
    lines = rebind(pf)
    assert any("3072 KiB in 1 pieces" in line for line in lines), lines
    faults.clear()
    want(faults, preferred=0x1000, minimum=(3 << 8) + 1)
    lines = rebind(pf)
    assert any("raise max_host_mem_size_mb" in line for line in lines), lines
    assert machine.read(attribute(pf)) == "0"
    fio(machine, disk(machine, pf.live(), 1), size="1m")


def test_not_wanted(machine: Machine, pf: PhysicalFunction) -> None:
    assert machine.run(f"test -e {attribute(pf)}", check=False).rc


@pytest.mark.shape(Shape(cpus=2, controllers=2, iommu=True))
def test_one_piece(machine: Machine, pf: PhysicalFunction, faults: Faults) -> None:
    """With an IOMMU, one descriptor describes all of the memory."""
    want(faults, preferred=0x4000, most=1)
    lines = rebind(pf)
    assert any("65536 KiB in 1 pieces" in line for line in lines), lines
    assert write(machine, attribute(pf), 0) == 0
    assert write(machine, attribute(pf), 1) == 0
    fio(machine, disk(machine, pf.live(), 1), size="1m")
