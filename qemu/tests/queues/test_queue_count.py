# SPDX-License-Identifier: GPL-2.0
"""Controllers that grant fewer I/O queues than requested, or more, or none.

The driver simulates the faults.
"""

import pytest

from faults.checks import check_works, now, said
from faults.rules import CREATE_CQ, CREATE_SQ, NUMBER_OF_QUEUES, SET_FEATURES, Faults
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio_command

pytestmark = pytest.mark.faults


def grants(queues: int) -> str:
    """Returns the rule by which the controller grants a number of I/O queues."""
    return (f"result={(queues - 1) << 16 | (queues - 1)}"
            f" opcode={SET_FEATURES} dword10={NUMBER_OF_QUEUES}")


def test_number_of_queues(machine: Machine, driver: Driver,
                          function: PhysicalFunction, faults: Faults) -> None:
    """The controller grants fewer I/O queues than requested, more, or others after a reset."""
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
    """A controller without I/O queues serves admin commands only, until a reset grants some.

    It has no disks meanwhile, even if somebody looks for namespaces.
    """
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
    machine.run(f"nvme ns-rescan {function.device}; sleep 1")
    name = function.live().name
    assert machine.run(f"ls -d /sys/class/nvme/{name}/nvme*n*", check=False).rc
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
