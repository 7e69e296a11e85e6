# SPDX-License-Identifier: GPL-2.0
"""Registers that report an error, or have impossible values.

The driver simulates the faults.
"""

import errno
import re

import pytest

from faults.checks import (
    ADMIN_LIMIT, ENODEV, IO_LIMIT, check_given_up, check_works, read_block, rebind, said,
    within,
)
from faults.rules import GET_LOG, IDENTIFY, READ, WRITE, Faults
from guest.machine import Machine
from guest.trace import traced
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio

pytestmark = pytest.mark.faults

RDY, CFS, NSSRO, ALL_ONES = 1, 2, 0x10, 0xffff_ffff
"""Values of Controller Status."""
NSSRS = 1 << 36
"""A bit of Controller Capabilities."""


def test_failed_controller(machine: Machine, driver: Driver,
                           function: PhysicalFunction, faults: Faults) -> None:
    """CSTS.CFS causes a reset, after which the controller works or is given up. The log has
    PCI Status, of which QEMU's function has only the bit Capabilities List."""
    device = disk(machine, function.live(), 1)
    failed = r"the controller has failed \(CSTS=0x3, PCI_STATUS=0x10\); resetting it"
    faults.command(f"fail queue=io opcode={WRITE} skip=8")
    fio(machine, device, size="512k")
    assert faults.left() == [0]
    assert said(machine, failed) == 1
    check_works(machine, function)
    # An idle controller: the driver notices at the next command.
    faults.command(f"fail opcode={GET_LOG}")
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert faults.left() == [0, 0]
    assert said(machine, failed) == 2
    check_works(machine, function)
    # The bit appears during a reset.
    faults.command(f"fail opcode={IDENTIFY}")
    with within(machine, 3 * ADMIN_LIMIT):
        machine.run(f"nvme reset {function.device}", check=False)
    assert said(machine, "the controller is given up") == 1
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.parametrize("clear, set, words", [
    (RDY, 0, "Device not ready; aborting initialisation"),
    (0, RDY, "Device not ready; aborting reset"),
    (0, ALL_ONES, "the registers read as all ones"),
])
def test_never_ready(machine: Machine, driver: Driver, function: PhysicalFunction,
                     faults: Faults, clear: int, set: int, words: str) -> None:
    """The driver waits at most CAP.TO for a controller to become ready, or to stop."""
    ready_limit = 2
    faults.register("CAP", clear=0xff << 24, set=2 * ready_limit << 24)
    # In a reset.
    assert rebind(function, driver) == 0
    name = function.device
    faults.register("CSTS", clear=clear, set=set)
    # The driver waits for the stop, and before it enables; a function reset does not help.
    with within(machine, 3 * ready_limit + 8):
        machine.run(f"nvme reset {name}", check=False)
    assert said(machine, words) >= 1
    assert said(machine, "the controller is given up") == 1
    with within(machine, 3 * ready_limit):
        function.unbind()
    # In probe.
    with within(machine, 2 * ready_limit + 8):
        assert function.bind(driver.name) == errno.ENODEV
    assert said(machine, f"the controller cannot be started: {ENODEV}") == 1
    faults.clear()
    assert function.bind(driver.name) == 0
    check_works(machine, function)


def test_stopped_by_a_function_reset(machine: Machine, driver: Driver,
                                     function: PhysicalFunction, faults: Faults) -> None:
    """A controller that does not stop gets a function level reset."""
    ready_limit = 5
    faults.register("CAP", clear=0xff << 24, set=2 * ready_limit << 24)
    assert rebind(function, driver) == 0
    # Device Control of QEMU's controller, written with Initiate Function Level Reset.
    flr = re.compile(r"nvme.* @0x88 <- 0x[89a-f]\w{3}$")
    faults.register("CSTS", set=RDY)
    with traced(machine, "pci_cfg_write") as writes:
        process = machine.spawn(f"nvme reset {function.device}")
        machine.wait_for(lambda: "resetting the function" in machine.log.window(),
                         "function reset", 3 * ready_limit)
        faults.clear()
        assert machine.finish(process) == 0
    assert len([line for line in writes if flr.search(line)]) == 1
    assert not said(machine, "given up")
    check_works(machine, function)


def test_subsystem_was_reset(machine: Machine, driver: Driver,
                             function: PhysicalFunction, faults: Faults) -> None:
    """The driver clears CSTS.NSSRO. It does not send Abort for a command that times out then,
    as the controller has lost the command."""
    function.unbind()
    faults.register("CSTS", set=NSSRO)
    cleared = "pci_nvme_ub_mmiowr_ssreset_w1c_unsupported"
    for capable in False, True:
        if capable:
            faults.register("CAP", set=NSSRS)
        with traced(machine, cleared) as writes:
            assert function.bind(driver.name) == 0
            device = disk(machine, function.live(), 1)
        assert len(writes) == capable
        faults.command(f"lose queue=io opcode={READ}")
        machine.run(read_block(device))
        assert said(machine, "the NVM subsystem has been reset") == capable
        # A bit from an earlier reset.
        assert said(machine, "no answer; aborting it") == 1
        function.unbind()
    faults.clear()
    assert function.bind(driver.name) == 0
    check_works(machine, function)


@pytest.mark.essential
def test_all_ones_under_io(machine: Machine, driver: Driver,
                           function: PhysicalFunction, faults: Faults) -> None:
    """If registers read as all ones under I/O, I/O fails in time."""
    device = disk(machine, function.live(), 1)
    faults.command(f"lose queue=io opcode={READ}")
    faults.register("CSTS", set=ALL_ONES)
    with within(machine, 3 * IO_LIMIT):
        assert machine.run(read_block(device), check=False).rc
    assert said(machine, "the controller is given up") == 1
    assert said(machine, "pcie_aspm=off") == 1
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.parametrize("clear, set, code, words", [
    (0xffff_ffff_ffff_ffff, 0, errno.ENODEV, "CAP reads as zero"),
    (0, 0xf << 32, errno.EINVAL, "CAP.DSTRD is 15"),
    (0, 0xf << 48, errno.ENODEV, "Minimum device page size"),
    (0xffff, 0x1, 0, ""),
    (0, 0xffff, 0, ""),
    (0, 0xff << 24, 0, ""),
    (0xff << 24, 0, 0, ""),
])
def test_capabilities(machine: Machine, driver: Driver, function: PhysicalFunction,
                      faults: Faults, clear: int, set: int, code: int,
                      words: str) -> None:
    """The driver refuses a controller with impossible Capabilities, and works at the limits."""
    function.unbind()
    faults.register("CAP", clear=clear, set=set)
    assert function.bind(driver.name) == code
    if code:
        assert said(machine, words) == 1
        faults.clear()
        assert function.bind(driver.name) == 0
    check_works(machine, function)


def test_fewer_entries(machine: Machine, driver: Driver, function: PhysicalFunction,
                       faults: Faults) -> None:
    """The controller is refused in a reset if its queues may not have as many entries any
    more as they have: the block layer keeps its tags. They may have more."""
    sqsize = f"/sys/class/nvme/{function.live().name}/sqsize"
    assert machine.read(sqsize) == "1023"
    faults.register("CAP", clear=0xffff, set=1023)
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function)
    faults.register("CAP", clear=0xffff, set=1022)
    with within(machine, ADMIN_LIMIT):
        machine.run(f"nvme reset {function.device}", check=False)
    assert said(machine, "CAP.MQES is 1022 now, too few for the 1024 entries") == 1
    assert said(machine, "the controller is given up") == 1
    check_given_up(machine, function)
    # A new controller has fewer tags, and keeps them.
    assert rebind(function, driver) == 0
    sqsize = f"/sys/class/nvme/{function.live().name}/sqsize"
    assert machine.read(sqsize) == "1022"
    check_works(machine, function)
    faults.clear()
    machine.run(f"nvme reset {function.device}")
    assert machine.read(sqsize) == "1022"
    check_works(machine, function)


def test_no_entries(machine: Machine, driver: Driver, function: PhysicalFunction,
                    faults: Faults) -> None:
    """A controller whose queues may have one entry only, which is always empty, serves admin
    commands, as with the in-tree driver."""
    function.unbind()
    faults.register("CAP", clear=0xffff)
    assert function.bind(driver.name) == 0
    assert function.live().io_queues == 0
    assert said(machine, "CAP.MQES is 0") == 1
    assert said(machine, "only administration is possible") == 1
    machine.run(f"nvme smart-log {function.device}")
    faults.clear()
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function)


def test_no_entries_but_two(machine: Machine, driver: Driver, function: PhysicalFunction,
                            faults: Faults) -> None:
    """A controller works whose queues have more entries, by a quirk, than it admits."""
    driver.unload()
    driver.load("quirks=1b36:0010:qdepth_one")
    function.unbind()
    faults.register("CAP", clear=0xffff)
    assert function.bind(driver.name) == 0
    assert machine.read(f"/sys/class/nvme/{function.live().name}/sqsize") == "1"
    check_works(machine, function)
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function)
    faults.clear()
    driver.unload()
    driver.load()
