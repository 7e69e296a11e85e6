# SPDX-License-Identifier: GPL-2.0
"""Every detector of the debug kernel finds a fault, and the watch reports it.

The module seeded.ko makes the faults. After each of them, what runs after every
test must raise, and name the detector.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conftest import Pool, check
from guest.errors import MachineError
from guest.image import HAS_DETECTORS, IN_GUEST
from guest.machine import Machine
from guest.shape import Shape
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.leaks import Leak, forget_memory

OBJECTS_AGE = 6
"""Seconds after which kmemleak suspects an object."""

pytestmark = [
    pytest.mark.essential,
    pytest.mark.skipif(
        not HAS_DETECTORS,
        reason="only the debug kernel has the detectors"),
    # A machine that no other test asks for.
    pytest.mark.shape(Shape(cpus=2, vfs=0, namespaces=0)),
]


@pytest.fixture(scope="module", autouse=True)
def spoilt_machine(pool: Pool) -> Iterator[None]:
    """After these tests the machine is of no use: lockdep has given up."""
    yield
    pool.discard()


@contextmanager
def seeded(machine: Machine, fault: str) -> Iterator[None]:
    """Makes a fault, and takes it back with what the log says of it."""
    # Else DMA-API debug reports its first error alone.
    machine.run("echo 1 > /sys/kernel/debug/dma-api/all_errors")
    machine.run(f"insmod {IN_GUEST}/seeded.ko fault={fault}")
    yield
    machine.run("rmmod seeded")
    machine.sync_log()
    machine.log.close_window()


def test_nothing_is_found_without_a_fault(machine: Machine) -> None:
    assert machine.run(f"insmod {IN_GUEST}/seeded.ko", check=False).rc
    check(machine)


# Lock order next to last, and KASAN last: lockdep gives up after either.
@pytest.mark.parametrize("fault, report", [
    ("sleep-in-atomic", "BUG: sleeping function called from invalid context"),
    ("bad-unmap", "DMA-API: .*: device driver frees DMA memory with different size"),
    ("free-active", "ODEBUG: free active .* object type: timer_list"),
    ("list-twice", "list_add double add"),
    ("lock-order", "possible circular locking dependency detected"),
    ("use-after-free", "KASAN: slab-use-after-free in use_after_free"),
])
def test_fault_is_found(machine: Machine, fault: str, report: str) -> None:
    with seeded(machine, fault):
        with pytest.raises(MachineError, match=report):
            check(machine)


def test_leaked_mapping_is_found(machine: Machine, driver: Driver) -> None:
    """By its entry once the driver is gone, and by the kernel when it goes."""
    function, = physical_functions(machine)
    with seeded(machine, "leaked-mapping"):
        with pytest.raises(Leak, match=rf"still mapped:\n.*{function.address}"):
            driver.unload()
        with pytest.raises(MachineError, match="DMA-API: .* pending DMA allocations"):
            check(machine)


def test_hung_task_is_found(machine: Machine) -> None:
    limit = "/proc/sys/kernel/hung_task_timeout_secs"
    usual = machine.read(limit)
    with seeded(machine, "hang"):
        machine.run(f"echo 2 > {limit}")
        machine.wait_for(lambda: "blocked for more" in machine.log.window(), "report")
        machine.run(f"echo {usual} > {limit}")
        with pytest.raises(MachineError, match=r"task seeded:\d+ blocked for more than"):
            check(machine)


def test_leak_is_found(machine: Machine) -> None:
    """After the next test at the latest; kmemleak does not suspect what is new."""
    with seeded(machine, "leak"):
        check(machine)
        time.sleep(OBJECTS_AGE)
        with pytest.raises(Leak, match=r"kmemleak reports:\n(.*\n)*.*\[seeded\]"):
            check(machine)
        forget_memory(machine)


@pytest.fixture
def spoilt_lockdep(pool: Pool) -> Iterator[None]:
    """After each of these tests lockdep has given up."""
    yield
    pool.discard()


@pytest.mark.shape(Shape(cpus=2, vfs=2, namespaces=0))
@pytest.mark.parametrize("fault, lock", [
    ("vf-lock-order", "VF device lock"),
    ("pf-lock-order", "PF device lock"),
])
def test_order_of_device_locks_is_found(machine: Machine, pf: PhysicalFunction,
                                        spoilt_lockdep: None, fault: str,
                                        lock: str) -> None:
    """The PCI core's rescan lock is taken with a device lock held, and the reverse."""
    assert pf.set_vfs(2) == 0
    for vf in pf.vfs:
        vf.live()
    check(machine)
    with seeded(machine, fault):
        with pytest.raises(MachineError, match="possible circular locking dependency"):
            check(machine)
        log = machine.log.window()
        assert f"({lock})" in log and "(pci_rescan_remove_lock)" in log
