# SPDX-License-Identifier: GPL-2.0
"""Registers that report an error, or have impossible values."""

import errno

import pytest

from faults.checks import (
    ADMIN_LIMIT, ENODEV, IO_LIMIT, check_given_up, check_works, read_block, rebind, said,
    within,
)
from faults.commands import GET_LOG, IDENTIFY, READ, WRITE
from faults.programmed import CAP, CSTS, ENTRIES, SHAPE
from guest.device import Device
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio

pytestmark = pytest.mark.shape(SHAPE)

RDY, NSSRO, ALL_ONES = 1, 0x10, 0xffff_ffff
"""Values of Controller Status."""
READY_LIMIT = 2
"""The seconds of CAP.TO in some tests, which is in units of 500 ms."""


def add_bits(device: Device, register: int, clear: int = 0, set: int = 0) -> None:
    """Has a register of 64 bits read with some bits cleared, then others set."""
    for at, shift in (register, 0), (register + 4, 32):
        halves = {"clear": clear >> shift & ALL_ONES, "set": set >> shift & ALL_ONES}
        if any(halves.values()):
            device.add({"bits": halves}, register=at)


def test_failed_controller(machine: Machine, driver: Driver, function: PhysicalFunction,
                           device: Device) -> None:
    """CSTS.CFS causes a reset, after which the controller works or is given up. The log has
    PCI Status, of which this function has only the bit Capabilities List."""
    target = disk(machine, function.live(), 1)
    failed = r"the controller has failed \(CSTS=0x3, PCI_STATUS=0x10\); resetting it"
    device.add("fail", queue="io", opcode=WRITE, skip=8, count=1)
    fio(machine, target, size="512k")
    assert device.met() == 1
    assert said(machine, failed) == 1
    check_works(machine, function)
    # An idle controller: the driver notices at the next command.
    device.add("fail", queue="admin", opcode=GET_LOG, count=1)
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert device.met() == 2
    assert said(machine, failed) == 2
    check_works(machine, function)
    # The bit appears during a reset.
    device.add("fail", queue="admin", opcode=IDENTIFY, count=1)
    with within(machine, 3 * ADMIN_LIMIT):
        machine.run(f"nvme reset {function.device}", check=False)
    assert said(machine, "the controller is given up") == 1
    device.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.parametrize("bits, words", [
    pytest.param({"clear": RDY}, "Device not ready; aborting initialisation", id="never"),
    pytest.param({"set": RDY}, "Device not ready; aborting reset", id="always"),
    pytest.param({"set": ALL_ONES}, "the registers read as all ones", id="ones"),
])
def test_never_ready(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                     device: Device, bits: dict[str, int], words: str) -> None:
    """The driver waits at most CAP.TO for a controller to become ready, or to stop."""
    device.set(timeout=2 * READY_LIMIT)
    # In a reset.
    assert programmed.bind(driver.name) == 0
    name = programmed.live().name
    device.add({"bits": bits}, register=CSTS)
    # The driver waits for the stop, and before it enables; a function reset does not help.
    with within(machine, 3 * READY_LIMIT + 8):
        machine.run(f"nvme reset /dev/{name}", check=False)
    assert said(machine, words) >= 1
    assert said(machine, "the controller is given up") == 1
    with within(machine, 3 * READY_LIMIT):
        programmed.unbind()
    # In probe.
    with within(machine, 2 * READY_LIMIT + 8):
        assert programmed.bind(driver.name) == errno.ENODEV
    assert said(machine, f"the controller cannot be started: {ENODEV}") == 1
    device.clear()
    assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)


def test_slow(machine: Machine, driver: Driver, programmed: PhysicalFunction,
              device: Device) -> None:
    """A controller that takes nearly as long as it may to become ready works."""
    device.set(timeout=2 * READY_LIMIT, ready_ms=900 * READY_LIMIT)
    assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)
    machine.run(f"nvme reset {programmed.device}")
    check_works(machine, programmed)


def test_stopped_by_a_function_reset(machine: Machine, driver: Driver,
                                     programmed: PhysicalFunction, device: Device) -> None:
    """A controller that does not stop gets a function level reset."""
    ready_limit = 5
    device.set(timeout=2 * ready_limit)
    assert programmed.bind(driver.name) == 0
    name = programmed.live().name
    resets = device.count("function_resets")
    device.add({"bits": {"set": RDY}}, register=CSTS)
    process = machine.spawn(f"nvme reset /dev/{name}")
    machine.wait_for(lambda: "resetting the function" in machine.log.window(),
                     "function reset", 3 * ready_limit)
    device.clear()
    assert machine.finish(process) == 0
    assert device.count("function_resets") == resets + 1
    assert not said(machine, "given up")
    check_works(machine, programmed)


def test_subsystem_was_reset(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                             device: Device) -> None:
    """Another controller resets the subsystem. The driver does not send Abort for a command
    that times out then, as the controller has lost it; and clears CSTS.NSSRO."""
    device.set(subsystem_reset=True)
    assert programmed.bind(driver.name) == 0
    target = disk(machine, programmed.live(), 1)
    device.reset_subsystem()
    machine.run(read_block(target))
    assert said(machine, "the NVM subsystem has been reset") == 1
    assert not said(machine, "aborting it")
    assert device.count("subsystem_resets_seen") == 1
    # A command that is lost later is aborted.
    device.add("lose", queue="io", opcode=READ, count=1)
    machine.run(read_block(target))
    assert said(machine, "no answer; aborting it") == 1
    check_works(machine, programmed)


def test_subsystem_reset(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                         device: Device) -> None:
    """nvme-cli resets the subsystem, if it can be. Commands after it time out, by which the
    driver finds out, and resets the controller."""
    assert programmed.bind(driver.name) == 0
    assert machine.run(f"nvme subsystem-reset {programmed.device}", check=False).rc
    assert device.count("subsystem_resets") == 0
    programmed.unbind()
    device.set(subsystem_reset=True)
    assert programmed.bind(driver.name) == 0
    machine.run(f"nvme subsystem-reset {programmed.device}")
    assert device.count("subsystem_resets") == 1
    check_works(machine, programmed)
    assert device.count("enables") == 3


def test_reserved_status(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                         device: Device) -> None:
    """CSTS.NSSRO says nothing, and is not cleared, if the subsystem cannot be reset."""
    device.add({"bits": {"set": NSSRO}}, register=CSTS)
    assert programmed.bind(driver.name) == 0
    target = disk(machine, programmed.live(), 1)
    device.add("lose", queue="io", opcode=READ, count=1)
    machine.run(read_block(target))
    assert not said(machine, "the NVM subsystem has been reset")
    assert said(machine, "no answer; aborting it") == 1
    assert device.count("subsystem_resets_seen") == 0
    check_works(machine, programmed)


def test_all_ones_under_io(machine: Machine, driver: Driver, function: PhysicalFunction,
                           device: Device) -> None:
    """If registers read as all ones under I/O, I/O fails in time."""
    target = disk(machine, function.live(), 1)
    device.add("lose", queue="io", opcode=READ, count=1)
    device.add({"read": ALL_ONES}, register=CSTS)
    with within(machine, 3 * IO_LIMIT):
        assert machine.run(read_block(target), check=False).rc
    assert said(machine, "the controller is given up") == 1
    assert said(machine, "pcie_aspm=off") == 1
    device.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.parametrize("bits, code, words", [
    pytest.param({"clear": (1 << 64) - 1}, errno.ENODEV, "CAP reads as zero", id="zero"),
    pytest.param({"set": 0xf << 32}, errno.EINVAL, "CAP.DSTRD is 15", id="stride"),
    pytest.param({"set": 0xf << 48}, errno.ENODEV, "Minimum device page size", id="pages"),
    pytest.param({"clear": 0xffff, "set": 1}, 0, "", id="two-entries"),
    pytest.param({"set": 0xff << 24}, 0, "", id="no-hurry"),
    pytest.param({"clear": 0xff << 24}, 0, "", id="no-time"),
])
def test_capabilities(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                      device: Device, bits: dict[str, int], code: int, words: str) -> None:
    """The driver refuses a controller with impossible Capabilities, and works at the limits."""
    add_bits(device, CAP, **bits)
    assert programmed.bind(driver.name) == code
    if code:
        assert said(machine, words) == 1
        device.clear()
        assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)


def test_most_entries(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                      device: Device) -> None:
    """Queues may have 65536 entries."""
    device.set(mqes=0xffff)
    assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)
    assert device.violations() == []


def test_fewer_entries(machine: Machine, driver: Driver, function: PhysicalFunction,
                       device: Device) -> None:
    """The controller is refused in a reset if its queues may not have as many entries any
    more as they have: the block layer keeps its tags. They may have more."""
    sqsize = f"/sys/class/nvme/{function.live().name}/sqsize"
    assert machine.read(sqsize) == str(ENTRIES - 1)
    device.set(mqes=ENTRIES)
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function)
    device.set(mqes=ENTRIES - 2)
    with within(machine, ADMIN_LIMIT):
        machine.run(f"nvme reset {function.device}", check=False)
    assert said(machine, f"CAP.MQES is {ENTRIES - 2} now, too few for the {ENTRIES} entries") == 1
    assert said(machine, "the controller is given up") == 1
    check_given_up(machine, function)
    # A new controller has fewer tags, and keeps them.
    assert rebind(function, driver) == 0
    sqsize = f"/sys/class/nvme/{function.live().name}/sqsize"
    assert machine.read(sqsize) == str(ENTRIES - 2)
    check_works(machine, function)
    device.set(mqes=ENTRIES - 1)
    machine.run(f"nvme reset {function.device}")
    assert machine.read(sqsize) == str(ENTRIES - 2)
    check_works(machine, function)


def test_no_entries(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                    device: Device) -> None:
    """A controller whose queues may have one entry only, which is always empty, serves admin
    commands, as with the in-tree driver."""
    device.set(mqes=0)
    assert programmed.bind(driver.name) == 0
    assert programmed.live().io_queues == 0
    assert said(machine, "CAP.MQES is 0") == 1
    assert said(machine, "only administration is possible") == 1
    machine.run(f"nvme smart-log {programmed.device}")
    device.set(mqes=ENTRIES - 1)
    machine.run(f"nvme reset {programmed.device}")
    check_works(machine, programmed)


def test_no_entries_but_two(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                            device: Device) -> None:
    """A controller works whose queues have more entries, by a quirk, than it admits."""
    driver.unload()
    driver.load("quirks=1b36:0010:qdepth_one")
    programmed.unbind()
    add_bits(device, CAP, clear=0xffff)
    assert programmed.bind(driver.name) == 0
    assert machine.read(f"/sys/class/nvme/{programmed.live().name}/sqsize") == "1"
    check_works(machine, programmed)
    machine.run(f"nvme reset {programmed.device}")
    check_works(machine, programmed)
    device.clear()
    driver.unload()
    driver.load()
