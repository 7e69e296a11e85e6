# SPDX-License-Identifier: GPL-2.0
"""Every allocation fails once, and the driver copes: it works without, or it says so,
gives back what it has, and works the next time."""

import json
import re
from collections import Counter

import pytest

from faults.allocation import DEEPEST, OPERATIONS, Operation, Step, aim, fail
from guest.log import faults
from guest.machine import Machine
from guest.shape import Shape
from project import BUILD
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.leaks import Leak, check_memory

NEAR = 9
"""How deep the usual sweep looks: the driver's own allocations, and those of the
functions that it calls. ``--every-allocation`` looks as deep as the kernel can. One
deeper, and a probe hangs where nvme-core gets no memory for a subsystem's link: it
drops the subsystem with the lock held that this takes."""
DEEP = ("disable",)
"""Operations that want so little memory that they are always looked at deeply."""
BUDGET = 25
"""How many of those, in each operation, evenly spread: CI has minutes, not hours."""
ORDER = 4
"""Of the pages that a submission queue has, in one piece, if only some get memory."""
ENTRIES_PER_PAGE = 64
_NONE = 1_000_000
"""More allocations than there are."""

GIVEN_UP = {"dead", "deleting (no IO)"}
"""The states of a controller that is given up, while it has namespaces and after."""

# What an operation may end with, if it says that it succeeded.
STATES = {
    "probe": {"live"},
    "enable": {"live 2 VFs"},
    "disable": {"live 0 VFs"},
    # Writing to `reset` succeeds; what became of the controller is in its state.
    "reset": {"live"} | GIVEN_UP,
    "unbind": {"unbound"},
}
NO_MEMORY = "Cannot allocate memory"
ERRORS = {
    # The PCI core has one errno for whatever keeps it from claiming a BAR; the C
    # driver makes ENODEV of it.
    "__pci_request_selected_regions": "Device or resource busy",
    # So has nvme-core for whatever keeps it from Identify Controller's data.
    "nvme_init_ctrl_finish [nvme_core]": "Input/output error",
}
"""What may be instead of NO_MEMORY, by a function that wanted some."""
FAULTS = {
    # The interrupt core does not look whether it could make a file of /proc/irq/N,
    # and removes each when the interrupt is freed, perhaps in the next step. With
    # the C driver it warns as well.
    ("register_irq_proc", "register_handler_proc"):
        r"WARNING: fs/proc/generic\.c:\d+ at remove_proc_entry",
    # The driver core makes up the names of a device link's files again to remove
    # them, and warns that they stay. The C driver has no such links.
    ("devlink_remove_symlinks",):
        r"WARNING: drivers/base/core\.c:\d+ at devlink_remove_symlinks",
}
"""Faults of the kernel's own, by the functions that wanted memory."""
_REPORTS = BUILD / "allocations"

pytestmark = pytest.mark.shape(Shape(cpus=2))


@pytest.fixture
def target(machine: Machine, driver: Driver, pf: PhysicalFunction) -> PhysicalFunction:
    """A PF whose allocations can be made to fail, and whose VFs get no driver."""
    if machine.run("test -e /sys/kernel/debug/failslab", check=False).rc:
        pytest.skip("this kernel cannot fail allocations")
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    return pf


def problems(step: Step, operation: Operation, wanting: set[str]) -> list[str]:
    """Returns what is wrong with the end of a step. ``wanting`` are the functions that
    got no memory, in this step or before."""
    log = step.log
    for names, fault in FAULTS.items():
        if wanting.intersection(names):
            log = re.sub(rf"cut here.*?{fault}.*?end trace", "", log, flags=re.DOTALL)
    found = faults(log)
    if step.status:
        others = [error for name, error in ERRORS.items() if name in step.stack]
        if step.error not in (NO_MEMORY, *others):
            found.append(f"errno: {step.error}")
    elif step.state not in STATES[operation.name]:
        found.append(f"succeeded, but is {step.state}")
    if (step.status or step.state in GIVEN_UP) and not _is_explained(step):
        found.append("no message of the driver")
    return found


def _is_explained(step: Step) -> bool:
    """Whether the log says what could not be done, and by whom."""
    if step.stack[:1] == ("rust_helper_krealloc_node_align",) and (
            "probe_callback" in step.stack[1]):
        # Memory for the driver's data: nothing else was done, so it is enough that the
        # driver core says that the probe failed.
        return "probe with driver" in step.log
    return any("nvme" in line and ("cannot" in line or "reset failed" in line)
               for line in step.log.splitlines())


def check_use(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """Checks that nothing is left of the failures, and that all works without."""
    driver.unload()
    driver.load()
    pf.live()
    assert pf.write("sriov_drivers_autoprobe", 1) == 0
    assert pf.set_vfs(4) == 0
    fio(machine, *private_disks(machine, pf), size="64k")
    assert pf.set_vfs(0) == 0
    check_memory(machine, last=True)


@pytest.mark.essential
def test_memory_for_some_queues(machine: Machine, target: PhysicalFunction,
                                unloaded: Driver) -> None:
    """The controller works with as many queues as there is memory for, and has all
    of them again when there is more."""
    unloaded.load(f"io_queue_depth={(1 << ORDER) * ENTRIES_PER_PAGE}")
    target.live()
    target.unbind()
    # Of the driver's allocations, none but those of queues is as large. The first is
    # the whole of what is allowed, in pages, but one.
    assert machine.run(f"""
        cd /sys/kernel/debug/fail_page_alloc
        echo 0 > require-start; echo {(1 << 64) - 1:#x} > require-end
        echo 0 > reject-start; echo 0 > reject-end; echo 0 > stacktrace-depth
        echo 0 > verbose; echo 0 > ignore-gfp-wait; echo {ORDER} > min-order
        echo Y > task-filter
        echo {(1 << ORDER) + 1} > space; echo 1 > times; echo 100 > probability
        echo 1 > /proc/self/make-it-fail
        echo {target.address} > /sys/bus/pci/drivers/{unloaded.name}/bind
        status=$?
        echo 0 > probability; echo N > task-filter; echo 0 > space; echo -1 > times
        exit $status""").rc == 0
    assert "no memory for I/O queue 2" in machine.log.window()
    assert "only 1 of 2 I/O queues could be created" in machine.log.window()
    assert target.live().io_queues == 1
    fio(machine, disk(machine, target.live(), 1), size="64k")
    machine.run(f"nvme reset {target.device}")
    assert target.live().io_queues == 2
    fio(machine, disk(machine, target.live(), 1), size="64k")
    assert target.write("sriov_drivers_autoprobe", 1) == 0


def blame(machine: Machine, driver: Driver, pf: PhysicalFunction,
          operation: Operation, steps: list[Step]) -> Step:
    """Returns the step that leaks memory, found by halves."""
    while len(steps) > 1:
        half = steps[:len(steps) // 2]
        for _ in fail(machine, driver, pf, operation, (step.number for step in half)):
            pass
        try:
            check_memory(machine, last=True)
            steps = steps[len(half):]
        except Leak:
            steps = half
    return steps[0]


def report(operation: Operation, steps: list[Step]) -> str:
    """Writes down which allocations failed, and returns how many."""
    sites = Counter(step.site for step in steps if step.fired)
    _REPORTS.mkdir(parents=True, exist_ok=True)
    (_REPORTS / f"{operation.name}.json").write_text(json.dumps([
        {"number": step.number, "status": step.status, "error": step.error,
         "state": step.state, "stack": step.stack, "log": step.log.splitlines()}
        for step in steps if step.fired], indent=1) + "\n")
    return (f"{operation.name}: {sum(sites.values())} allocations failed, in"
            f" {len({step.stack for step in steps if step.fired})} call stacks of"
            f" {len(sites)} functions of the driver,"
            f" {sum(bool(step.status) for step in steps)} times with an error")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_allocation_may_fail(
        machine: Machine, driver: Driver, target: PhysicalFunction, name: str,
        request: pytest.FixtureRequest) -> None:
    every = request.config.getoption("every_allocation")
    operation = OPERATIONS[name]
    aim(machine, driver, operation, DEEPEST if every or name in DEEP else NEAR)
    undisturbed, = fail(machine, driver, target, operation, [_NONE])
    assert not problems(undisturbed, operation, set())
    assert undisturbed.state not in GIVEN_UP
    assert undisturbed.count > 1
    stride = 1 if every else -(-undisturbed.count // BUDGET)
    steps = list(fail(machine, driver, target, operation,
                      range(1, _NONE if every else undisturbed.count + 1, stride)))
    print(report(operation, steps))
    # The reports of the failed allocations are none of faults.
    bad, wanting = {}, set[str]()
    for step in steps:
        wanting.update(step.stack)
        if found := problems(step, operation, wanting):
            bad[step] = found
    assert not bad, "\n".join(
        f"allocation {step.number}, in {' < '.join(step.stack[:12])}:"
        f" {'; '.join(found)}\n{step.log}" for step, found in bad.items())
    assert steps[0].fired
    assert not every or not steps[-1].fired
    machine.log.close_window()
    try:
        check_use(machine, driver, target)
    except Leak as leak:
        leak.add_note(f"by {blame(machine, driver, target, operation, steps)}")
        raise
