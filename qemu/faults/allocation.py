# SPDX-License-Identifier: GPL-2.0
"""Fails the driver's memory allocations, one after the other.

The kernel counts the allocations of a task, and fails the Nth of them (fail-nth,
Documentation/fault-injection/fault-injection.rst). Here the kernel counts only
allocations whose call stack contains the driver's code: its own, and those that nvme-core,
the block layer and the PCI core do for it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction

DEEPEST = 32
"""The most frames of a call stack that the kernel examines."""
_BATCH = 20
"""The number of steps in one command."""


@dataclass(frozen=True)
class Operation:
    """An operation of the driver, as shell commands for $FUNCTION and $DRIVER."""

    name: str
    before: str
    """Brings about the state in which the operation begins."""
    command: str
    """Runs the operation in the shell's own process, whose allocations fail."""
    state: str
    """Prints the state in which the operation has ended, if it succeeded."""
    after: str
    """Undoes the operation; no allocation fails meanwhile."""
    workers: bool = False
    """Whether work queues do part of the operation."""
    spared: str = "acpi_pci_irq_enable"
    """A function of the kernel whose allocations do not fail. By default it is the one
    that finds a legacy interrupt: a failure breaks ACPI's interpreter for good."""


@dataclass(frozen=True)
class Step:
    """One run of an operation, in which one allocation failed."""

    number: int
    """The number of the allocation that was to fail, from 1."""
    count: int
    """The number of allocations up to the failed one, in the task that had most."""
    status: int
    """The exit status of the operation."""
    error: str
    """The text of the errno, if the operation failed."""
    state: str
    log: str
    """The kernel log, without the report of the failed allocation."""
    stack: tuple[str, ...]
    """The call stack of the failed allocation, innermost function first; empty for an
    allocation with __GFP_NOWARN."""

    @property
    def fired(self) -> bool:
        """Returns whether an allocation failed, that is, the operation had enough of them."""
        return self.count == self.number

    @property
    def site(self) -> str:
        """Returns the driver's function that is nearest to the allocation."""
        return next((name for name in self.stack if "[" in name), "")


_FUNCTIONS = """
state() {
	for file in $FUNCTION/nvme/nvme*/state; do read -r state < $file && echo $state; done
}
count() {
	read -r count < $FUNCTION/sriov_numvfs && echo "$count VFs"
}
vfs() {
	[ "$(count)" != "$1 VFs" ] || return 0
	[ "$(count)" = "0 VFs" ] || echo 0 > $FUNCTION/sriov_numvfs || exit 3
	[ $1 = 0 ] || echo $1 > $FUNCTION/sriov_numvfs || exit 3
}
workers() {
	for task in /proc/[0-9]*; do
		read -r name < $task/comm && case $name in kworker/u*) echo $task ;; esac
	done 2> /dev/null
}
"""
_BOUND = "[ -e $FUNCTION/driver ] || echo $ADDRESS > $DRIVER/bind || exit 3; vfs"

OPERATIONS = {operation.name: operation for operation in (
    Operation(
        "probe",
        before="[ ! -e $FUNCTION/driver ] || echo $ADDRESS > $DRIVER/unbind",
        command="echo $ADDRESS > $DRIVER/bind",
        state="state",
        after=":",
    ),
    Operation(
        "enable",
        before=_BOUND + " 0",
        command="echo 2 > $FUNCTION/sriov_numvfs",
        state="state; count",
        after="vfs 0",
        # The PCI core keeps a VF that it could not add, and crashes when it removes the VF.
        # acpi_pci_irq_enable() need not be spared: the VFs have no driver.
        spared="pci_device_add",
    ),
    Operation(
        "disable",
        before=_BOUND + " 2",
        command="echo 0 > $FUNCTION/sriov_numvfs",
        state="state; count",
        after=":",
    ),
    Operation(
        "reset",
        before=_BOUND + " 2",
        command="echo 1 > $FUNCTION/reset",
        state="state",
        # A controller that was given up works again once its driver is bound anew.
        after="[ $(state) = live ] || echo $ADDRESS > $DRIVER/unbind",
        workers=True,
    ),
    Operation(
        "unbind",
        before=_BOUND + " 1",
        command="echo $ADDRESS > $DRIVER/unbind",
        state="[ -e $FUNCTION/driver ] || [ -e $FUNCTION/virtfn0 ] || echo unbound",
        after=":",
    ),
)}

# fail-nth of this process reads 0 if an allocation has failed, else N less the number of
# allocations so far. Each kernel thread of the work queues has a counter of its own.
_STEPS = """
for number in $NUMBERS; do
	@before
	echo "allocation: $number" > /dev/kmsg
	tasks=@tasks
	for task in $tasks; do echo $number > $task/fail-nth; done 2> /dev/null
	exec 3> /run/allocation
	echo $number > /proc/self/fail-nth
	@command 2>&3
	status=$?
	read -r left < /proc/self/fail-nth
	echo 0 > /proc/self/fail-nth
	for task in $tasks; do
		read -r mine < $task/fail-nth && [ $mine -lt $left ] && left=$mine
		echo 0 > $task/fail-nth
	done 2> /dev/null
	echo "allocation: end" > /dev/kmsg
	[ $status != 0 ] || found=$( @state )
	read -r error < /run/allocation
	echo "$number;$left;$status;${error##*: };$(echo $found)"
	error= found=
	@after
	[ $left = 0 ] || break
done
"""

_REPORT = re.compile(
    r"(FAULT_INJECTION: forcing a failure|vmalloc error: |page allocation failure).*?"
    r" </TASK>(.*?Mem-Info:.*?pages hwpoisoned)?", re.DOTALL)
_FRAME = re.compile(r"\] +(?!\?)([\w.$]+)\+0x[0-9a-f]+/0x[0-9a-f]+( \[\w+\])?$", re.MULTILINE)
_ALLOCATORS = re.compile(
    r"dump_stack|should_fail|__?kmalloc|kmem_cache_|k[vz]?alloc|__?alloc_pages|___slab|"
    r"__slab|krealloc|kvrealloc|__vmalloc|vmalloc|alloc_frozen|get_free_page|kmemdup|kstrdup")


def aim(machine: Machine, driver: Driver, operation: Operation, depth: int) -> None:
    """Makes the kernel count only allocations whose ``depth`` innermost functions include
    the driver's code. The module must be loaded."""
    # The allocations of kmemleak and of debug objects are left out: both have a reserve.
    machine.run(f"""
        set -e
        while read -r name size _ _ _ base _; do
            [ $name != {driver.name} ] || break
        done < /proc/modules
        set -- $(grep -A 1 ' {operation.spared}$' /proc/kallsyms)
        for attributes in failslab fail_page_alloc; do
            cd /sys/kernel/debug/$attributes
            echo $base > require-start
            printf '0x%x' $((base + size)) > require-end
            echo 0x$1 > reject-start
            echo 0x$4 > reject-end
            echo {depth} > stacktrace-depth
            echo 0 > ignore-gfp-wait
            echo 2 > verbose
            echo 0 > verbose_ratelimit_interval_ms
        done
        echo 0 > min-order
        echo 0 > ignore-gfp-highmem
        for cache in /sys/kernel/slab/*; do
            case $cache in
            */kmemleak_*|*/debug_objects_*|*/Acpi-*) ;;
            *) echo 1 > $cache/failslab ;;
            esac
        done
        echo 1 > /sys/kernel/debug/failslab/cache-filter
    """, timeout=120)


def fail(machine: Machine, driver: Driver, pf: PhysicalFunction,
         operation: Operation, numbers: Iterable[int]) -> Iterator[Step]:
    """Runs ``operation`` once for each of ``numbers``, and fails the allocation of this
    number. Ends with a step that had fewer allocations."""
    left = list(numbers)
    script = (f"ADDRESS={pf.address}\nFUNCTION={pf.sysfs}\n"
              f"DRIVER=/sys/bus/pci/drivers/{driver.name}\n{_FUNCTIONS}{_STEPS}")
    for place in ("before", "command", "state", "after"):
        script = script.replace(f"@{place}", getattr(operation, place))
    script = script.replace("@tasks", "$(workers)" if operation.workers else "")
    while left:
        batch, left = left[:_BATCH], left[_BATCH:]
        machine.sync_log()
        skip = len(machine.log.window())
        listed = " ".join(map(str, batch))
        said = machine.run(f"NUMBERS='{listed}'\n{script}", timeout=300).out
        machine.sync_log()
        logs = dict(re.findall(
            r"allocation: (\d+)$(.*?)allocation: end$", machine.log.window()[skip:],
            re.DOTALL | re.MULTILINE))
        for line in said.splitlines():
            number, rest, status, error, state = line.split(";")
            log = logs[number]
            report = _REPORT.search(log)
            yield Step(
                int(number), int(number) - int(rest), int(status), error, state,
                _REPORT.sub("", log).strip(),
                tuple(_stack(report.group())) if report else ())
            if rest != "0":
                return


def _stack(report: str) -> Iterator[str]:
    for name, module in _FRAME.findall(report):
        if module or not _ALLOCATORS.match(name):
            yield name + module
