# SPDX-License-Identifier: GPL-2.0
"""Each allocation fails once. The operation then succeeds without it, or the driver logs the
error, frees its resources, and works the next time."""

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

NEAR = 8
"""The depth of call stacks in the usual sweep, which covers the driver's own allocations and
those of the functions that it calls. ``--every-allocation`` uses the kernel's maximum. At
one frame more, a probe hangs when nvme-core has no memory for a subsystem's link: it drops
the subsystem while it holds the lock that this takes."""
DEEP = ("disable",)
"""Operations with so few allocations that the depth is always the maximum."""
BUDGET = 25
"""The number of allocations that fail in each operation, evenly spread, as CI has minutes."""
ORDER = 4
"""The order of the contiguous pages of a submission queue, if memory is short for some."""
ENTRIES_PER_PAGE = 64
_NONE = 1_000_000
"""More allocations than any operation has."""

GIVEN_UP = {"dead", "deleting (no IO)"}
"""The states of a controller that is given up, with and without namespaces."""

# The states in which an operation may end if it reports success.
STATES = {
    "probe": {"live"},
    "enable": {"live 2 VFs"},
    "disable": {"live 0 VFs"},
    # A write to `reset` always succeeds; only the controller's state shows the result.
    "reset": {"live"} | GIVEN_UP,
    "unbind": {"unbound"},
}
NO_MEMORY = "Cannot allocate memory"
ERRORS = {
    # The PCI core has one errno for every reason not to claim a BAR; the C driver turns it
    # into ENODEV.
    "__pci_request_selected_regions": "Device or resource busy",
    # nvme-core has one errno for every failure of Identify Controller.
    "nvme_init_ctrl_finish [nvme_core]": "Input/output error",
}
"""The errno that is permitted instead of NO_MEMORY, by the function whose allocation failed."""
FAULTS = {
    # The interrupt core does not check whether it could create a file of /proc/irq/N,
    # and warns when it removes the file, perhaps in the next step. It warns with the C
    # driver, too.
    ("register_irq_proc", "register_handler_proc"):
        r"WARNING: fs/proc/generic\.c:\d+ at remove_proc_entry",
    # The driver core allocates the names of a device link's files again to remove them,
    # and warns if it cannot. The C driver has no such links.
    ("devlink_remove_symlinks",):
        r"WARNING: drivers/base/core\.c:\d+ at devlink_remove_symlinks",
}
"""Known faults of the kernel itself, by the functions whose allocation failed."""
_REPORTS = BUILD / "allocations"

pytestmark = pytest.mark.shape(Shape(cpus=2))


@pytest.fixture
def target(machine: Machine, driver: Driver, pf: PhysicalFunction) -> PhysicalFunction:
    """Returns a PF for failing allocations, whose VFs get no driver."""
    if machine.run("test -e /sys/kernel/debug/failslab", check=False).rc:
        pytest.skip("this kernel cannot fail allocations")
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    return pf


def problems(step: Step, operation: Operation, wanting: set[str]) -> list[str]:
    """Returns the problems with the end of a step. ``wanting`` are the functions whose
    allocations have failed, in this step or before."""
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
    """Returns whether the log has a message on what failed."""
    if step.stack[:1] == ("rust_helper_krealloc_node_align",) and any(
            "probe_callback" in name for name in step.stack[1:3]):
        # The first steps of the probe allocate what the driver's data needs, so the driver
        # core's message on the failed probe is enough.
        return "probe with driver" in step.log
    return any("nvme" in line and ("cannot" in line or "reset failed" in line)
               for line in step.log.splitlines())


def check_use(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """Checks that the failures have leaked nothing, and that the driver works."""
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
    """The controller works with the queues for which there is memory, and has all queues
    after a reset with enough memory."""
    unloaded.load(f"io_queue_depth={(1 << ORDER) * ENTRIES_PER_PAGE}")
    target.live()
    target.unbind()
    # Only the driver's allocations of queues are as large as min-order. `space` allows
    # one page more than the first of them needs.
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
    """Returns the step that leaks memory, which it finds by bisection."""
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
    """Writes the failed allocations to a file, and returns a summary."""
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
    # The reports of failed allocations do not count as faults.
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
