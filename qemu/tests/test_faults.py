# SPDX-License-Identifier: GPL-2.0
"""Devices that misbehave, and how the driver comes through it.

Whatever the device does, nobody waits without a limit, the log and an errno say
what was wrong, and the next try on a sane device works. The tests that use
``faults`` need a driver that makes them up; the others have them from QEMU.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from faults import Faults
from machine import CommandFailed, Machine, Shape
from nvme import (
    Driver, PhysicalFunction, disk, fio, fio_command, physical_functions,
)

IO_LIMIT = 4
"""Seconds after which an I/O command times out."""
ADMIN_LIMIT = 4
"""Seconds after which an admin command times out."""

WRITE, READ = 0x01, 0x02
"""I/O commands."""
CREATE_SQ, CREATE_CQ, GET_LOG, IDENTIFY, SET_FEATURES, MANAGE = (
    0x01, 0x05, 0x02, 0x06, 0x09, 0x1c)
"""Admin commands."""
PRIMARY_CAPABILITIES, SECONDARY_LIST, IDENTIFY_CONTROLLER = 0x14, 0x15, 0x01
"""What Identify returns (CNS)."""
NUMBER_OF_QUEUES = 0x07
"""A feature."""
RDY, CFS, ALL_ONES = 1, 2, 0xffff_ffff
"""Of Controller Status."""


def said(machine: Machine, pattern: str, since: int = 0) -> int:
    """How often the log of this test, from ``since`` on, has what matches."""
    machine.sync_log()
    return len(re.findall(pattern, machine.log.window()[since:]))


def now(machine: Machine) -> int:
    """Where the log of this test ends."""
    machine.sync_log()
    return len(machine.log.window())


@contextmanager
def within(machine: Machine, seconds: float) -> Iterator[None]:
    """Checks that what is done takes no longer, by the guest's clock."""
    def uptime() -> float:
        return float(machine.read("/proc/uptime").split()[0])
    start = uptime()
    yield
    took = uptime() - start
    assert took <= seconds * float(os.environ["NVME_RS_PATIENCE"])


@pytest.fixture
def limits(machine: Machine, driver: Driver) -> Iterator[None]:
    """Short time limits, for controllers probed from now on."""
    parameters = "/sys/module/nvme_core/parameters"
    before = machine.run(
        f"cd {parameters}; cat io_timeout admin_timeout").out.split()
    set_limits = (f"cd {parameters}; echo {{}} > io_timeout;"
                  " echo {} > admin_timeout")
    machine.run(set_limits.format(IO_LIMIT, ADMIN_LIMIT))
    yield
    if machine.alive:
        machine.run(set_limits.format(*before))


@pytest.fixture
def function(machine: Machine, driver: Driver, limits: None) -> PhysicalFunction:
    """The first physical function, newly bound, with short time limits."""
    found = physical_functions(machine)[0]
    if found.driver:
        found.unbind()
    assert found.bind(driver.name) == 0
    found.live()
    return found


@pytest.fixture
def faults(machine: Machine, function: PhysicalFunction) -> Iterator[Faults]:
    """Faults of the devices, none at first, and none afterwards."""
    found = Faults(machine)
    if not found.available:
        pytest.skip("this driver cannot make up faults: its kernel has no"
                    " CONFIG_FAULT_INJECTION_DEBUG_FS")
    found.clear()
    yield found
    if machine.alive:
        found.clear()


def read_block(device: str) -> str:
    """The command line that reads the first block of a disk."""
    return f"dd if={device} of=/dev/null bs=4k count=1 iflag=direct"


def on_every_cpu(machine: Machine, command: str) -> None:
    """Runs a command on each CPU in turn, and so on each queue."""
    machine.run(f"for cpu in $(seq 0 {machine.shape.cpus - 1});"
                f" do taskset -c $cpu {command} || exit 1; done")


def check_works(machine: Machine, function: PhysicalFunction,
                io_queues: int | None = None) -> None:
    """Checks that a function serves I/O, on as many queues as there are CPUs."""
    controller = function.live()
    wanted = machine.shape.cpus if io_queues is None else io_queues
    assert controller.io_queues == wanted
    device = disk(machine, controller, 1)
    on_every_cpu(machine, read_block(device))
    fio(machine, device, size="512k")


def rebind(function: PhysicalFunction, driver: Driver) -> int:
    """Unbinds the function, if it is bound, and returns the errno of binding."""
    if function.driver:
        function.unbind()
    return function.bind(driver.name)


# Completions of I/O commands.


def test_missed_interrupt(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """The time limit finds what the interrupt did not tell of."""
    device = disk(machine, function.live(), 1)
    faults.command(f"missed queue=io opcode={READ}")
    machine.run(read_block(device))
    assert faults.left() == [0]
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "aborting|resetting|dropped")
    check_works(machine, function)


@pytest.mark.essential
def test_lost_io(machine: Machine, function: PhysicalFunction,
                 faults: Faults) -> None:
    """First Abort, then a reset: the commands are sent again, the data is right."""
    device = disk(machine, function.live(), 1)
    # Rings that have gone round, so that the poll finds old entries all over.
    fio(machine, device, size="16m", verify=0)
    faults.command(f"lose queue=io opcode={WRITE} skip=8 count=2")
    fio(machine, device, size="512k")
    assert faults.left() == [0]
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") >= 1
    assert not said(machine, "no interrupt came|dropped")
    check_works(machine, function)


def test_lost_again(machine: Machine, function: PhysicalFunction,
                    faults: Faults) -> None:
    """Multipath sends a command again as often as it takes."""
    device = disk(machine, function.live(), 1)
    faults.command(f"lose queue=io opcode={READ} count=2")
    machine.run(read_block(device))
    assert faults.left() == [0]
    assert said(machine, "no answer; aborting it") == 2
    assert said(machine, "no answer; resetting the controller") == 2
    check_works(machine, function)


@pytest.mark.essential
def test_lost_for_good(machine: Machine, driver: Driver, function: PhysicalFunction,
                       faults: Faults) -> None:
    """Without multipath, I/O fails after a reset that did not help."""
    with nvme_core(machine, driver, "multipath=N"):
        function.live()
        device = disk(machine, function.live(), 1)
        limit = f"/sys/class/nvme/{function.live().name}/io_timeout"
        machine.run(f"echo {1000 * IO_LIMIT} > {limit}")
        faults.command(f"lose queue=io opcode={READ} count=1000")
        with within(machine, 5 * IO_LIMIT):
            assert machine.run(read_block(device), check=False).rc
        assert said(machine, "no answer; aborting it") == 1
        assert said(machine, "no answer; resetting the controller") == 1
        assert said(machine, "no answer while starting") == 1
        assert said(machine, "the controller is given up") == 1
    check_works(machine, function)


@contextmanager
def nvme_core(machine: Machine, driver: Driver, parameters: str) -> Iterator[None]:
    """Loads nvme-core with parameters, and the driver with it."""
    def reload(parameters: str) -> None:
        driver.unload()
        machine.run(f"rmmod nvme-core && modprobe nvme-core {parameters}")
        driver.load()
    reload(parameters)
    yield
    reload("")


def test_lost_by_the_block_layer(machine: Machine,
                                 function: PhysicalFunction) -> None:
    """The block layer's own way to lose completions reaches ours."""
    device = disk(machine, function.live(), 1)
    queue = machine.run(
        f"ls -d /sys/class/nvme/{function.live().name}/nvme*n1").out.strip()
    knob = f"{queue}/io-timeout-fail"
    if machine.run(f"test -e {knob}", check=False).rc:
        pytest.skip("this kernel has no CONFIG_FAIL_IO_TIMEOUT")
    machine.run("cd /sys/kernel/debug/fail_io_timeout; echo 100 > probability;"
                f" echo 1 > times; echo 0 > verbose; echo 1 > {knob}")
    machine.run(read_block(device))
    machine.run(f"echo 0 > {knob}; echo 0 > /sys/kernel/debug/fail_io_timeout/probability")
    assert said(machine, "no answer; aborting it") == 1
    assert said(machine, "no answer; resetting the controller") == 1
    check_works(machine, function)


def test_false_completions(machine: Machine, function: PhysicalFunction,
                           faults: Faults) -> None:
    """What no command waits for is dropped, and what one waits for counts."""
    device = disk(machine, function.live(), 1)
    for name in ("twice", "stray", "generation"):
        faults.command(f"{name} queue=io opcode={READ}")
        machine.run(read_block(device))
        faults.command(f"{name} queue=admin opcode={GET_LOG}")
        machine.run(f"nvme smart-log {function.device}")
        assert not any(faults.left())
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 3
    assert said(machine, "queue 0: .* dropped") == 3
    assert not said(machine, "aborting|resetting")
    check_works(machine, function)


def test_late_after_abort(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """A command that is slow, not lost, completes although it was aborted."""
    device = disk(machine, function.live(), 1)
    faults.command(f"late queue=io opcode={READ}")
    process = machine.spawn(read_block(device))
    machine.wait_for(lambda: "aborting it" in machine.log.window(), "Abort")
    faults.release()
    on_every_cpu(machine, read_block(device))
    assert machine.finish(process) == 0
    assert not said(machine, "resetting|dropped")
    check_works(machine, function)


def test_late_after_reset(machine: Machine, function: PhysicalFunction,
                          faults: Faults) -> None:
    """Completions from before a reset complete nothing after it."""
    device = disk(machine, function.live(), 1)
    faults.command(f"late queue=io opcode={READ}",
                   f"late queue=admin opcode={GET_LOG}")
    machine.run(read_block(device))
    assert said(machine, "resetting the controller") == 1
    function.live()
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert said(machine, "resetting the controller") == 2
    assert faults.left() == [0, 0]
    faults.release()
    check_works(machine, function)
    machine.run(f"nvme smart-log {function.device}")
    assert said(machine, "queue [1-9][0-9]*: .* dropped") == 1
    assert said(machine, "queue 0: .* dropped") == 1


def test_errors_of_commands(machine: Machine, function: PhysicalFunction,
                            faults: Faults) -> None:
    """An error that may be retried is, and one that may not reaches the user."""
    device = disk(machine, function.live(), 1)
    internal, do_not_retry = 0x06, 0x4000
    faults.command(f"status={internal} queue=io opcode={READ}")
    machine.run(read_block(device))
    faults.command(f"status={internal | do_not_retry} queue=io opcode={READ}")
    assert machine.run(read_block(device), check=False).rc
    assert faults.left() == [0, 0]
    check_works(machine, function)


# Completions of admin commands.


def test_lost_admin(machine: Machine, function: PhysicalFunction,
                    faults: Faults) -> None:
    """An admin command that is lost costs a reset, and only itself."""
    faults.command(f"missed queue=admin opcode={GET_LOG}")
    machine.run(f"nvme smart-log {function.device}")
    assert said(machine, "complete, but no interrupt came") == 1
    assert not said(machine, "resetting")

    faults.command(f"lose queue=admin opcode={GET_LOG}")
    result = machine.run(f"nvme smart-log {function.device}", check=False)
    assert result.rc
    assert faults.left() == [0, 0]
    assert said(machine, "resetting the controller") == 1
    check_works(machine, function)


def test_lost_while_starting(machine: Machine, driver: Driver,
                             function: PhysicalFunction, faults: Faults) -> None:
    """A controller that stops answering while it is probed, or reset, is given up."""
    for rule in (f"opcode={IDENTIFY} dword10={IDENTIFY_CONTROLLER}",
                 f"opcode={SET_FEATURES} dword10={NUMBER_OF_QUEUES}",
                 f"opcode={CREATE_CQ}", f"opcode={CREATE_SQ} skip=1"):
        function.unbind()
        start = now(machine)
        faults.command(f"lose {rule}")
        with within(machine, 3 * ADMIN_LIMIT):
            assert function.bind(driver.name) == errno.ENODEV, rule
        assert not function.controller
        assert faults.left() == [0]
        assert said(
            machine, "the controller cannot be started: ENODEV", start) == 1, rule
        faults.clear()
        assert function.bind(driver.name) == 0
        check_works(machine, function)

        faults.command(f"lose {rule}")
        with within(machine, 3 * ADMIN_LIMIT):
            machine.run(f"nvme reset {function.device}", check=False)
        assert faults.left() == [0]
        assert said(machine, "the controller is given up", start) == 1, rule
        faults.clear()
        assert rebind(function, driver) == 0
        check_works(machine, function)


# Registers.


def test_failed_controller(machine: Machine, driver: Driver,
                           function: PhysicalFunction, faults: Faults) -> None:
    """CSTS.CFS means a reset, which helps, or the end."""
    device = disk(machine, function.live(), 1)
    failed = r"the controller has failed \(CSTS=0x3\); resetting it"
    faults.command(f"fail queue=io opcode={WRITE} skip=8")
    fio(machine, device, size="512k")
    assert faults.left() == [0]
    assert said(machine, failed) == 1
    check_works(machine, function)
    # Idle, until somebody asks something.
    faults.command(f"fail opcode={GET_LOG}")
    assert machine.run(f"nvme smart-log {function.device}", check=False).rc
    assert faults.left() == [0, 0]
    assert said(machine, failed) == 2
    check_works(machine, function)
    # While it is being reset.
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
    """A controller that never gets ready, or never stops, is waited for CAP.TO."""
    ready_limit = 2
    faults.register("CAP", clear=0xff << 24, set=2 * ready_limit << 24)
    # In a reset.
    assert rebind(function, driver) == 0
    name = function.device
    faults.register("CSTS", clear=clear, set=set)
    with within(machine, 3 * ready_limit):
        machine.run(f"nvme reset {name}", check=False)
    assert said(machine, words) >= 1
    assert said(machine, "the controller is given up") == 1
    with within(machine, 3 * ready_limit):
        function.unbind()
    # In probe.
    with within(machine, 3 * ready_limit):
        assert function.bind(driver.name) == errno.ENODEV
    assert said(machine, "the controller cannot be started: ENODEV") == 1
    faults.clear()
    assert function.bind(driver.name) == 0
    check_works(machine, function)


@pytest.mark.essential
def test_all_ones_under_io(machine: Machine, driver: Driver,
                           function: PhysicalFunction, faults: Faults) -> None:
    """Registers that are lost under I/O: it fails, in time."""
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
    (0xffff, 0, errno.EINVAL, "CAP.MQES is 0"),
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
    """Controller Capabilities at their limits: refused, or good to work with."""
    function.unbind()
    faults.register("CAP", clear=clear, set=set)
    assert function.bind(driver.name) == code
    if code:
        assert said(machine, words) == 1
        faults.clear()
        assert function.bind(driver.name) == 0
    check_works(machine, function)


# Devices that go.


@pytest.mark.parametrize("skip", (0, 2, 5, 8, 11, 14))
def test_gone_while_probed(machine: Machine, driver: Driver,
                           function: PhysicalFunction, faults: Faults,
                           skip: int) -> None:
    function.unbind()
    faults.command(f"gone skip={skip}")
    with within(machine, 3 * ADMIN_LIMIT):
        # Once it is live, there is nothing left for probe to fail in.
        assert function.bind(driver.name) in (0, errno.ENODEV)
    assert faults.left() == [0]
    assert not function.controller or function.controller.state != "live"
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)


@pytest.mark.essential
def test_gone(machine: Machine, driver: Driver, function: PhysicalFunction,
              faults: Faults) -> None:
    """A device that goes under I/O, or in a reset: I/O fails, in time."""
    device = disk(machine, function.live(), 1)
    faults.command(f"gone queue=io opcode={WRITE} skip=8")
    with within(machine, 4 * IO_LIMIT):
        with pytest.raises(CommandFailed):
            fio(machine, device, size="512k")
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)

    for skip in (0, 4, 7):
        start = now(machine)
        name = function.device
        faults.command(f"gone skip={skip}")
        with within(machine, 4 * ADMIN_LIMIT):
            machine.run(f"nvme reset {name}", check=False)
        assert faults.left() == [0]
        assert said(machine, "the controller is given up", start) == 1
        with within(machine, 4 * ADMIN_LIMIT):
            function.unbind()
        faults.clear()
        assert function.bind(driver.name) == 0
        check_works(machine, function)


@pytest.mark.parametrize("skip", (0, 5, 8, 11))
@pytest.mark.essential
def test_gone_while_vfs_are_enabled(machine: Machine, driver: Driver,
                                    function: PhysicalFunction, faults: Faults,
                                    skip: int) -> None:
    """A device that goes while its VFs come: none stays behind."""
    faults.command(f"gone opcode={MANAGE} skip={skip}")
    with within(machine, 6 * ADMIN_LIMIT):
        assert function.set_vfs(4) in (errno.EIO, errno.ENODEV, errno.EINTR)
    assert faults.left() == [0]
    assert not function.vfs
    faults.clear()
    assert rebind(function, driver) == 0
    check_works(machine, function)
    assert function.set_vfs(4) == 0
    for vf in function.vfs:
        vf.live()
    assert function.set_vfs(0) == 0


# Data that makes no sense.


@pytest.mark.parametrize("fields", [
    ["data=0 at=77"],                           # MDTS: no limit
    ["data=1 at=77"],                           # two pages
    ["data=255 at=77"],                         # beyond any limit
    ["data=0xffffffff at=516 size=4"],          # NN
    ["data=0 at=516 size=4"],
], ids=["MDTS=0", "MDTS=1", "MDTS=255", "NN=all", "NN=0"])
def test_identify_controller(machine: Machine, driver: Driver,
                             function: PhysicalFunction, faults: Faults,
                             fields: list[str]) -> None:
    function.unbind()
    faults.command(*(f"{field} opcode={IDENTIFY} dword10={IDENTIFY_CONTROLLER}"
                     for field in fields))
    assert function.bind(driver.name) == 0
    assert not any(faults.left())
    check_works(machine, function)
    fio(machine, disk(machine, function.live(), 1), bs="256k", size="2m")


VQ, VI = 32, 64
"""Where Primary Controller Capabilities tells of queues, and of interrupts."""


@pytest.mark.parametrize("fields, code", [
    ([f"data=0xffffffff at={VQ} size=4", f"data=0xffff at={VQ + 12} size=2"],
     errno.ENOSPC),                                             # totals, limits
    ([f"data=0 at={VQ} size=4"], errno.ENOSPC),
    ([f"data=0xffff at={VI + 8} size=2"], errno.ENOSPC),        # the PF's share
    ([f"data=1 at={VQ + 12} size=2"], errno.ENOSPC),            # less than needed
    ([f"data=0 at={VQ + 12} size=2", f"data=0 at={VI + 12} size=2"], 0),
    ([f"data=0 at={VQ + 14} size=2", f"data=0 at={VI + 14} size=2"], 0),
    ([f"data=0xffff at={VQ + 14} size=2"], 0),                  # granularity
    ([f"data=0xffff at={VQ + 10} size=2"], 0),                  # private > total
], ids=["totals", "nothing", "all is the PF's", "limit", "no limit",
        "granularity=0", "granularity=all", "private"])
def test_primary_capabilities(machine: Machine, function: PhysicalFunction,
                              faults: Faults, fields: list[str], code: int) -> None:
    faults.command(*(f"{field} opcode={IDENTIFY} dword10={PRIMARY_CAPABILITIES}"
                     for field in fields))
    check_refused_or_live(machine, function, faults, code)


def entry(index: int, offset: int, value: int, size: int = 2) -> str:
    """Changes a field of an entry of the Secondary Controller List."""
    return f"data={value} at={32 + 32 * index + offset} size={size}"


@pytest.mark.parametrize("fields, code", [
    (["data=0 at=0"], errno.ENXIO),
    (["data=2 at=0"], errno.ENXIO),
    (["data=255 at=0"], 0),
    ([entry(1, 0, 1)], errno.EIO),              # the same controller twice
    ([entry(1, 0, 0)], errno.EIO),              # the primary controller itself
    ([entry(1, 8, 1)], errno.ENXIO),            # the same VF twice
    ([entry(1, 8, 0xffff)], errno.ENXIO),       # VF number out of range
    ([entry(7, 10, 0xffff)], errno.ENOSPC),     # held by others
    ([entry(1, 10, 0xffff), entry(1, 4, 1, 1)], 0),  # left from before
], ids=["none", "too few", "too many", "same controller", "primary", "same VF",
        "VF out of range", "held", "stale"])
def test_secondary_list(machine: Machine, function: PhysicalFunction,
                        faults: Faults, fields: list[str], code: int) -> None:
    faults.command(*(f"{field} opcode={IDENTIFY} dword10={SECONDARY_LIST}"
                     for field in fields))
    check_refused_or_live(machine, function, faults, code)


@pytest.mark.parametrize("status, code", [
    (0x11f, errno.ENXIO), (0x120, errno.EBUSY), (0x121, errno.ENOSPC)])
@pytest.mark.parametrize("skip", (0, 7, 8, 11))
def test_refused_management(machine: Machine, function: PhysicalFunction,
                            faults: Faults, skip: int, status: int,
                            code: int) -> None:
    """Virtualization Management fails half-way: what was done is undone."""
    faults.command(f"status={status} opcode={MANAGE} skip={skip}")
    check_refused_or_live(machine, function, faults, code)


def check_refused_or_live(machine: Machine, function: PhysicalFunction,
                          faults: Faults, code: int) -> None:
    """Checks that four VFs are refused with an errno, or, for 0, live.

    Nothing of a refusal stays, and without faults they are live.
    """
    assert function.set_vfs(4) == code
    assert not any(faults.left())
    faults.clear()
    if code:
        assert not function.vfs
        assert all(held["secondary-controller-state"] == 0
                   and held["num-virtual-queues"] == 0
                   and held["num-virtual-interrupts"] == 0
                   for held in function.secondaries())
        assert function.set_vfs(4) == 0
    for vf in function.vfs:
        assert vf.live().io_queues == 4
    assert function.set_vfs(0) == 0
    check_works(machine, function)


# How many I/O queues.


def grants(queues: int) -> str:
    """The controller grants another number of I/O queues."""
    return (f"result={(queues - 1) << 16 | (queues - 1)}"
            f" opcode={SET_FEATURES} dword10={NUMBER_OF_QUEUES}")


def test_number_of_queues(machine: Machine, driver: Driver,
                          function: PhysicalFunction, faults: Faults) -> None:
    """Fewer I/O queues, more than asked for, others after a reset."""
    for granted, used in (1, 1), (3, 3), (65536, 4):
        function.unbind()
        faults.command(grants(granted))
        assert function.bind(driver.name) == 0
        check_works(machine, function, used)
    for granted in 2, 4, 1, 3, 65536:
        device = disk(machine, function.live(), 1)
        process = machine.spawn(fio_command(device, size="2m"))
        faults.command(grants(granted))
        machine.run(f"nvme reset {function.device}")
        assert machine.finish(process, 120) == 0
        assert not any(faults.left())
        check_works(machine, function, min(granted, 4))


def test_no_queues(machine: Machine, driver: Driver, function: PhysicalFunction,
                   faults: Faults) -> None:
    """No I/O queues: for administration only, until a reset brings some."""
    none = f"status=6 opcode={SET_FEATURES} dword10={NUMBER_OF_QUEUES}"
    function.unbind()
    faults.command(none)
    assert function.bind(driver.name) == 0
    assert function.live().io_queues == 0
    assert said(machine, "only administration is possible") == 1
    machine.run(f"nvme smart-log {function.device}")
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function)

    faults.command(none)
    machine.run(f"nvme reset {function.device}")
    assert function.live().io_queues == 0
    assert said(machine, "the I/O queues are lost") == 1
    machine.run(f"nvme smart-log {function.device}")
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function)


def test_refused_queue(machine: Machine, driver: Driver, function: PhysicalFunction,
                       faults: Faults) -> None:
    """The controller grants queues, and then refuses to create them."""
    for command in CREATE_CQ, CREATE_SQ:
        function.unbind()
        start = now(machine)
        faults.command(f"status=0x101 opcode={command} skip=2")
        assert function.bind(driver.name) == 0
        assert not any(faults.left())
        assert said(machine, "I/O queue 3 was refused, status 0x101", start) == 1
        check_works(machine, function, 2)
        machine.run(f"nvme reset {function.device}")
        check_works(machine, function)


# Hardware that QEMU has.


@pytest.mark.shape(Shape(vfs=0))
def test_intx(machine: Machine, driver: Driver, function: PhysicalFunction) -> None:
    """Without MSI-X and MSI, all queues share the interrupt line."""
    function.unbind()
    assert function.write("msi_bus", 0) == 0
    assert function.bind(driver.name) == 0
    check_works(machine, function, 1)
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function, 1)
    assert "IO-APIC" in machine.run("grep nvme0q /proc/interrupts").out
    function.unbind()
    assert function.write("msi_bus", 1) == 0
    assert function.bind(driver.name) == 0
    check_works(machine, function)


@pytest.mark.shape(Shape(vfs=0))
@pytest.mark.parametrize("properties, io_queues", [
    ("max_ioqpairs=32,msix_qsize=33,mdts=1", 4),
    ("max_ioqpairs=2,msix_qsize=33", 2),
    ("max_ioqpairs=32,msix_qsize=3", 2),
    ("max_ioqpairs=32,msix_qsize=1", 1),
])
def test_small_controller(machine: Machine, driver: Driver, limits: None,
                          properties: str, io_queues: int) -> None:
    """Few queues, few interrupts, small transfers."""
    replace(machine, properties)
    function, = physical_functions(machine)
    check_works(machine, function, io_queues)
    fio(machine, disk(machine, function.live(), 1), bs="256k", size="2m")
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function, io_queues)


def replace(machine: Machine, properties: str) -> None:
    """Unplugs the controller, and plugs another one in."""
    for function in physical_functions(machine):
        machine.qmp.cmd("device_del", id="nvme0")
        machine.wait_for(
            lambda: machine.run(f"test -e {function.sysfs}", check=False).rc,
            "end of the function", 60)
    assert not machine.hmp("device_add nvme,id=nvme0,serial=nvme-rs-0,"
                           f"subsys=subsystem0,bus=port0,{properties}").strip()
    machine.wait_for(lambda: physical_functions(machine), "the new function", 60)


@pytest.mark.parametrize("moment", ["under I/O", "in a reset", "as VFs come"])
def test_cut_off(machine: Machine, function: PhysicalFunction,
                 moment: str) -> None:
    """The port above forwards nothing any more, neither memory nor configuration."""
    controller = function.live()
    device = disk(machine, controller, 1)
    process = {
        "under I/O": lambda: machine.spawn(
            fio_command(device, time_based=1, runtime=60)),
        "in a reset": lambda: machine.spawn(
            f"while nvme reset /dev/{controller.name}; do true; done; false"),
        "as VFs come": lambda: machine.spawn(
            f"while echo 8 > {function.sysfs}/sriov_numvfs &&"
            f" echo 0 > {function.sysfs}/sriov_numvfs; do true; done; false"),
    }[moment]()
    machine.run("sleep 3")
    with cut_off(machine, function), within(machine, 12 * ADMIN_LIMIT):
        assert machine.finish(process, 12 * ADMIN_LIMIT) != 0
        assert function.write("remove", 1) == 0
    # What the PCI core has read meanwhile is not true: have it start anew.
    machine.run("echo 1 > /sys/bus/pci/rescan")
    check_works(machine, function)
    assert function.set_vfs(2) == 0
    for vf in function.vfs:
        vf.live()
    assert function.set_vfs(0) == 0


@contextmanager
def cut_off(machine: Machine, function: PhysicalFunction) -> Iterator[None]:
    """Cuts a function off, and brings it back.

    Its port decodes no memory (the Command register) and has no bus below it
    (Secondary Bus Number).
    """
    port = machine.run(f"realpath {function.sysfs}/..").out.strip()
    registers = {0x04: "command", 0x19: "secondary bus"}
    config = machine.get(f"{port}/config")
    def write(values: dict[int, int]) -> None:
        machine.run("; ".join(
            rf"printf '\x{value:02x}' |"
            f" dd of={port}/config bs=1 seek={offset} conv=notrunc"
            for offset, value in values.items()))
    write(dict.fromkeys(registers, 0))
    yield
    write({offset: config[offset] for offset in registers})


# Not as VFs come: the kernel's sriov_numvfs_store() takes the device lock and then
# the rescan lock, and its hot-unplug takes them in the other order.
def test_unplugged_in_a_reset(machine: Machine,
                              function: PhysicalFunction) -> None:
    process = machine.spawn(
        f"while nvme reset {function.device}; do true; done; false")
    machine.run("sleep 3")
    shape = machine.shape
    replace(machine, f"max_ioqpairs={shape.io_queues},"
            f"msix_qsize={shape.io_queues + 1},sriov_max_vfs={shape.vfs},"
            f"sriov_vq_flexible={shape.vq_flexible},"
            f"sriov_vi_flexible={shape.vi_flexible},"
            f"sriov_max_vq_per_vf={shape.vf_limit},"
            f"sriov_max_vi_per_vf={shape.vf_limit}")
    assert machine.finish(process) != 0
    function, = physical_functions(machine)
    check_works(machine, function)
    assert function.set_vfs(2) == 0
    for vf in function.vfs:
        vf.live()
    assert function.set_vfs(0) == 0
