# SPDX-License-Identifier: GPL-2.0
"""The host memory buffer.

The controller writes the buffer and reads it back all the time, and finds fault with memory that
is not aligned, overlaps, is less than it wants, was changed, or is returned without what was in it.
"""

import errno
from dataclasses import replace

import pytest

from faults.checks import check_works
from faults.commands import HOST_MEMORY_BUFFER, SET_FEATURES
from faults.programmed import SHAPE
from guest.architecture import ARCHITECTURE
from guest.device import Device
from guest.machine import Machine
from subject.attributes import write
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio, fio_command, start_io
from subject.messages import said

pytestmark = pytest.mark.shape(SHAPE)
PIECE = 1024
"""The pages of a piece of memory, which the page allocator limits."""


def want(device: Device, preferred: int, minimum: int = 0, smallest: int = 0,
         most: int = 0) -> None:
    """Has the controller want a buffer of ``preferred`` pages, when it is identified again."""
    device.set(hmb_preferred=preferred, hmb_minimum=minimum, hmb_smallest=smallest,
               hmb_most=most)


def bind(machine: Machine, driver: Driver, function: PhysicalFunction) -> str:
    """Binds the function, and returns the driver's messages."""
    with said(machine) as lines:
        assert function.bind(driver.name) == 0
        function.live()
    return "\n".join(lines)


def reset(machine: Machine, function: PhysicalFunction) -> str:
    """Resets the controller, and returns the driver's messages."""
    with said(machine) as lines:
        machine.run(f"nvme reset {function.device}")
        function.live()
    return "\n".join(lines)


def attribute(function: PhysicalFunction) -> str:
    return f"/sys/class/nvme/{function.live().name}/hmb"


def ranges(device: Device) -> list[list[int]]:
    """Returns address and pages of each range that the controller has."""
    found: list[list[int]] = device.state()["hmb_ranges"]
    return found


@pytest.mark.essential
def test_given(machine: Machine, driver: Driver, programmed: PhysicalFunction,
               device: Device) -> None:
    """The controller gets as much memory as it prefers, in pieces that are not too small."""
    want(device, preferred=8 * PIECE + 3, minimum=4 * PIECE, smallest=16)
    assert "32768 KiB in 8 pieces" in bind(machine, driver, programmed)
    assert machine.read(attribute(programmed)) == "1"
    assert write(machine, attribute(programmed), "off") == 0
    assert machine.read(attribute(programmed)) == "0" and not ranges(device)
    assert write(machine, attribute(programmed), "y") == 0
    assert machine.read(attribute(programmed)) == "1"
    # The last three pages are less than the least that a piece may have.
    assert [pages for _, pages in ranges(device)] == [PIECE] * 8
    assert write(machine, attribute(programmed), "maybe") == errno.EINVAL
    # The controller has the buffer already.
    commands = device.count("hmb_commands")
    assert write(machine, attribute(programmed), 1) == 0
    assert device.count("hmb_commands") == commands
    check_works(machine, programmed)
    assert device.violations() == []


def test_given_back(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                    device: Device) -> None:
    """Resets under I/O return the same memory to the controller. Unbinding first takes the
    buffer back, and frees the memory with the device."""
    want(device, preferred=4 * PIECE, most=2)
    # Two descriptors describe at most two pieces.
    assert "8192 KiB in 2 pieces" in bind(machine, driver, programmed)
    given = ranges(device)
    target = disk(machine, programmed.live(), 1)
    for number, how in enumerate((
            f"nvme reset {programmed.device}", f"echo 1 > {programmed.sysfs}/reset"), 1):
        busy = machine.spawn(fio_command(target, size="4m", loops=4))
        machine.run(how)
        programmed.live()
        assert device.count("hmb_returned") == number
        assert machine.finish(busy, 120) == 0
        assert machine.read(attribute(programmed)) == "1"
        assert ranges(device) == given
    machine.wait_for(lambda: device.count("hmb_pages") > 1000, "use of the buffer")
    commands = device.count("hmb_commands")
    programmed.unbind()
    assert device.count("hmb_commands") == commands + 1
    assert not ranges(device)
    assert programmed.bind(driver.name) == 0
    programmed.live()
    assert device.violations() == []


def test_removed(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                 device: Device) -> None:
    """The function is removed under I/O, and found again."""
    want(device, preferred=4 * PIECE)
    bind(machine, driver, programmed)
    controller = programmed.live()
    busy = start_io(machine, controller, disk(machine, controller, 1),
                    time_based=1, runtime=60, size="4m")
    assert programmed.write("remove", 1) == 0
    machine.finish(busy, 120)
    assert not ranges(device)
    machine.run("echo 1 > /sys/bus/pci/rescan")
    assert machine.read(attribute(programmed)) == "1"
    assert device.violations() == []


def test_wanted_after_a_reset(machine: Machine, function: PhysicalFunction,
                              device: Device) -> None:
    """The attribute appears when a controller asks for a buffer after a reset, as with new
    firmware."""
    assert machine.run(f"test -e {attribute(function)}", check=False).rc
    want(device, preferred=4 * PIECE)
    reset(machine, function)
    assert machine.read(attribute(function)) == "1"
    assert write(machine, attribute(function), 0) == 0


def test_changed_by_a_reset(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                            device: Device) -> None:
    """A controller that wants more, or less, after a reset gets another buffer, and does not
    get the old one again when it wants that for a time without any."""
    want(device, preferred=4 * PIECE)
    bind(machine, driver, programmed)
    for pieces, minimum in (8, 6), (2, 0):
        want(device, preferred=pieces * PIECE, minimum=minimum * PIECE)
        assert f"{pieces * 4096} KiB in {pieces} pieces" in reset(machine, programmed)
        assert sum(pages for _, pages in ranges(device)) == pieces * PIECE
        assert machine.read(attribute(programmed)) == "1"
    # More than the limit.
    want(device, preferred=64 * PIECE, minimum=64 * PIECE)
    assert "raise max_host_mem_size_mb" in reset(machine, programmed)
    assert machine.read(attribute(programmed)) == "0" and not ranges(device)
    returned = device.count("hmb_returned")
    for preferred in 2 * PIECE, 0, 2 * PIECE:
        want(device, preferred=preferred)
        reset(machine, programmed)
        assert sum(pages for _, pages in ranges(device)) == preferred
    assert device.count("hmb_returned") == returned
    # As before.
    reset(machine, programmed)
    assert device.count("hmb_returned") == returned + 1
    check_works(machine, programmed)
    assert device.violations() == []


def test_refused(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                 device: Device) -> None:
    """A controller that refuses the buffer works without it."""
    want(device, preferred=4 * PIECE)
    device.add({"refuse": 0x02}, queue="admin", opcode=SET_FEATURES,
               selector=HOST_MEMORY_BUFFER)
    assert "not taken, status 0x" in bind(machine, driver, programmed)
    assert machine.read(attribute(programmed)) == "0"
    assert write(machine, attribute(programmed), 1) == errno.EIO
    check_works(machine, programmed)


def test_limit(machine: Machine, driver: Driver, programmed: PhysicalFunction,
               device: Device) -> None:
    """A parameter limits the buffer. If the limit is below the minimum, there is no buffer."""
    driver.unload()
    driver.load("max_host_mem_size_mb=3")
    programmed.unbind()
    want(device, preferred=4 * PIECE, minimum=3 << 8)
    assert "3072 KiB in 1 pieces" in bind(machine, driver, programmed)
    programmed.unbind()
    want(device, preferred=4 * PIECE, minimum=(3 << 8) + 1)
    assert "raise max_host_mem_size_mb" in bind(machine, driver, programmed)
    assert machine.read(attribute(programmed)) == "0"
    check_works(machine, programmed)
    driver.unload()
    driver.load()


@pytest.mark.skipif(not ARCHITECTURE.notifies,
                    reason="QEMU's IOMMU has no such controllers behind it")
@pytest.mark.shape(replace(SHAPE, iommu=True))
def test_one_piece(machine: Machine, driver: Driver, limits: None) -> None:
    """With an IOMMU, one descriptor describes all of the memory."""
    function, device = physical_functions(machine)[-1], machine.devices[0]
    if function.driver:
        function.unbind()
    device.make_sane()
    want(device, preferred=16 * PIECE, most=1)
    assert "65536 KiB in 1 pieces" in bind(machine, driver, function)
    assert len(ranges(device)) == 1
    assert write(machine, attribute(function), 0) == 0
    assert write(machine, attribute(function), 1) == 0
    fio(machine, disk(machine, function.live(), 1), size="1m")
    machine.wait_for(lambda: device.count("hmb_pages") > 1000, "use of the buffer")
    function.unbind()
    assert device.violations() == []
