# SPDX-License-Identifier: GPL-2.0
"""Each detector of the debug kernel finds a fault, and the checks after a test report it.

The module seeded.ko causes the faults. After each of them, the checks that run after every
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
"""The age in seconds at which kmemleak reports an object."""

pytestmark = [
    pytest.mark.essential,
    pytest.mark.skipif(
        not HAS_DETECTORS,
        reason="only the debug kernel has the detectors"),
    # A shape that no other test uses.
    pytest.mark.shape(Shape(cpus=2, vfs=0, namespaces=0)),
]


@pytest.fixture(scope="module", autouse=True)
def spoilt_machine(pool: Pool) -> Iterator[None]:
    """Discards the machine after these tests, as lockdep has turned itself off."""
    yield
    pool.discard()


@contextmanager
def seeded(machine: Machine, fault: str) -> Iterator[None]:
    """Causes a fault within the block, and afterwards undoes it and drops its log."""
    # Without this, DMA-API debug reports only its first error.
    machine.run("echo 1 > /sys/kernel/debug/dma-api/all_errors")
    machine.run(f"insmod {IN_GUEST}/seeded.ko fault={fault}")
    yield
    machine.run("rmmod seeded")
    machine.sync_log()
    machine.log.close_window()


def test_nothing_is_found_without_a_fault(machine: Machine) -> None:
    assert machine.run(f"insmod {IN_GUEST}/seeded.ko", check=False).rc
    check(machine)


# Lock order next to last, and KASAN last: lockdep turns itself off after each.
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
    """unload() finds the entry of the mapping, and the log has the kernel's report."""
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
    """A leak is found after the next test at the latest, as kmemleak skips new objects."""
    with seeded(machine, "leak"):
        check(machine)
        time.sleep(OBJECTS_AGE)
        with pytest.raises(Leak, match=r"kmemleak reports:\n(.*\n)*.*\[seeded\]"):
            check(machine)
        forget_memory(machine)


@pytest.fixture
def spoilt_lockdep(pool: Pool) -> Iterator[None]:
    """Discards the machine after each of these tests, as lockdep has turned itself off."""
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
    """lockdep finds the rescan lock taken with a device lock held, and the reverse order."""
    assert pf.set_vfs(2) == 0
    for vf in pf.vfs:
        vf.live()
    check(machine)
    with seeded(machine, fault):
        with pytest.raises(MachineError, match="possible circular locking dependency"):
            check(machine)
        log = machine.log.window()
        assert f"({lock})" in log and "(pci_rescan_remove_lock)" in log
