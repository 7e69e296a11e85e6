# SPDX-License-Identifier: GPL-2.0
"""Namespaces whose medium fails or is too slow."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from faults.backend import failing, slow
from guest.machine import Machine
from guest.trace import traced
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command, start_io

_LIMIT = 3
"""Seconds after which a command times out."""
_BAD = 128
"""A sector that cannot be read, or written."""
_NSID = 1
_TIMEOUT = r"no answer|resetting|aborting|no interrupt came|given up"


def said(machine: Machine, pattern: str) -> int:
    """Returns how often ``pattern`` matches in the log of this test."""
    machine.sync_log()
    return len(re.findall(pattern, machine.log.window()))


def read_block(device: str, sector: int) -> str:
    return f"dd if={device} of=/dev/null bs=512 skip={sector} count=1 iflag=direct"


def write_block(device: str, sector: int) -> str:
    return f"dd if=/dev/zero of={device} bs=512 seek={sector} count=1 oflag=direct"


@pytest.mark.parametrize("kind, block, command, error, status", [
    ("read", read_block, "read", "No data available", "Unrecovered Read Error"),
    ("write", write_block, "write", "No data available|Input/output error",
     "Write Fault"),
])
def test_bad_sector(machine: Machine, pf: PhysicalFunction, kind: str,
                    block: Callable[[str, int], str], command: str, error: str,
                    status: str) -> None:
    """An error of the medium fails that command alone. Other commands succeed, and the
    controller is not reset."""
    device = disk(machine, pf.live(), _NSID)
    with failing(machine, _NSID, kind, sector=_BAD):
        for sector in _BAD - 1, _BAD + 1:
            machine.run(block(device, sector))
        failed = machine.run(block(device, _BAD), check=False)
        assert failed.rc and re.search(error, failed.err), failed
        # Other I/O under way continues.
        process = machine.spawn(fio_command(
            device, offset="1m", size="2m", rw="randrw"))
        failed = machine.run(
            f"head -c 512 /dev/zero | nvme {command} {device} --start-block={_BAD}"
            " --block-count=0 --data-size=512", check=False)
        assert failed.rc and status in failed.err, failed
        assert machine.finish(process) == 0
    machine.run(block(device, _BAD))
    fio(machine, device, size="512k")
    pf.live()
    assert not said(machine, _TIMEOUT)


def test_failing_flush(machine: Machine, pf: PhysicalFunction) -> None:
    """fsync() fails if the flush fails."""
    device = disk(machine, pf.live(), _NSID)
    with failing(machine, _NSID, "flush"):
        machine.run(write_block(device, 0))
        assert machine.run(f"{write_block(device, 0)} conv=fsync", check=False).rc
        assert machine.run(f"nvme flush {device}", check=False).rc
    machine.run(f"{write_block(device, 0)} conv=fsync; nvme flush {device}")
    assert not said(machine, _TIMEOUT)


@contextmanager
def time_limit(machine: Machine, pf: PhysicalFunction) -> Iterator[None]:
    """Sets a short time limit for I/O commands within the block."""
    path = machine.run(
        f"ls /sys/class/nvme/{pf.live().name}/nvme*n{_NSID}/queue/io_timeout"
    ).out.strip()
    before = machine.read(path)
    machine.run(f"echo {1000 * _LIMIT} > {path}")
    yield
    machine.run(f"echo {before} > {path}")


def test_slow(machine: Machine, pf: PhysicalFunction) -> None:
    """A command that takes too long is aborted. If it completes then, there is no reset."""
    device = disk(machine, pf.live(), _NSID)
    with time_limit(machine, pf), traced(machine, "pci_nvme_admin_cmd") as commands:
        with slow(machine, _NSID, rate=1):
            machine.run(read_block(device, 0))
            process = machine.spawn(read_block(device, 8))
            machine.wait_for(lambda: "aborting it" in machine.log.window(), "Abort")
        assert machine.finish(process) == 0
    assert len([line for line in commands if "ADM_CMD_ABORT" in line]) == 1, commands
    assert said(machine, "no answer; aborting it") == 1
    assert not said(machine, "resetting")
    fio(machine, device, size="512k")


def test_too_slow(machine: Machine, pf: PhysicalFunction) -> None:
    """If Abort does not help, the controller is reset, and the commands are sent
    again. They succeed once the medium is fast again."""
    device = disk(machine, pf.live(), _NSID)
    with time_limit(machine, pf):
        # The first read is not delayed, the second one is. QEMU's reset waits for it, which
        # takes longer than two time limits.
        with slow(machine, _NSID, rate=4096 // (4 * _LIMIT)):
            process = machine.spawn(
                f"dd if={device} of=/dev/null bs=4k count=2 iflag=direct")
            machine.wait_for(lambda: "resetting the controller" in
                             machine.log.window(), "reset", 60)
        assert machine.finish(process) == 0
    assert said(machine, "no answer; aborting it") >= 1
    assert not said(machine, "given up")
    pf.live()
    fio(machine, device, size="512k")


def test_paused_machine(machine: Machine, pf: PhysicalFunction) -> None:
    """Commands do not time out while the guest is paused."""
    controller = pf.live()
    device = disk(machine, controller, _NSID)
    with time_limit(machine, pf):
        process = start_io(machine, controller, device, size="2m")
        for _ in range(2):
            machine.qmp.cmd("stop")
            time.sleep(_LIMIT)
            machine.qmp.cmd("cont")
            machine.run("sleep 0.2")
        assert machine.finish(process) == 0
    assert not said(machine, _TIMEOUT)
