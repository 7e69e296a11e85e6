# SPDX-License-Identifier: GPL-2.0
"""The channel to the guest, and the checks of its kernel log."""

import pytest

from conftest import check_log
from guest.errors import MachineDied, MachineError
from guest.log import faults
from guest.machine import Machine


@pytest.mark.parametrize("line", [
    "WARNING: CPU: 1 PID: 99 at drivers/pci/iov.c:931 pci_iov_remove+0x1/0x2",
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "Oops: Oops: 0002 [#1] SMP NOPTI",
    "Call Trace:",
    "Kernel panic - not syncing: Fatal exception",
    "rust_kernel: panicked at drivers/nvme/queue.rs:10:5:",
    "INFO: task fio:123 blocked for more than 30 seconds.",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [fio:123]",
    "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "WARNING: possible circular locking dependency detected",
    "BUG: sleeping function called from invalid context at mm/slub.c:4200",
    "DMA-API: nvme 0000:01:00.0: device driver frees DMA memory with different size",
    "ODEBUG: free active (active state 0) object: 00000000a1 object type: timer_list",
    "list_add double add: new=ffff888, prev=ffff888, next=ffff888.",
    "BUG: KASAN: slab-use-after-free in nvme_irq+0x1/0x2",
    "DMAR: [DMA Write NO_PASID] Request device [01:00.1] fault addr 0x1000",
    "kmemleak: Kernel memory leak detector disabled",
    "turning off the locking correctness validator.",
    "    not ok 3 wraps",
    "irq 34: nobody cared (try booting with the \"irqpoll\" option)",
    "nvme 0000:01:00.0: driver left SR-IOV enabled after remove",
])
def test_fault_is_recognized(line: str) -> None:
    assert faults(f"[    1.0] harmless\n[    2.0] {line}\n") == [f"[    2.0] {line}"]


def test_ordinary_messages_are_no_faults() -> None:
    assert not faults(
        "[    0.1] tsc: Unable to calibrate against PIT\n"
        "[    8.2] nvme nvme0: pci function 0000:01:00.0\n"
        "[    9.3] nvme nvme0: 4/0/0 default/read/poll queues\n"
        "[    9.5]     ok 3 wraps\n"
        "[    9.8] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n"
        "[   10.0] DMAR: Intel(R) Virtualization Technology for Directed I/O\n")


def test_fault_in_the_guest_is_noticed(machine: Machine) -> None:
    machine.run("echo 'WARNING: made by the test' > /dev/kmsg")
    with pytest.raises(MachineError, match="WARNING: made by the test"):
        check_log(machine)
    machine.log.close_window()


def test_files_come_back_as_they_went(machine: Machine) -> None:
    data = bytes(range(256)) * 5000
    machine.put("/tmp/data", data)
    assert machine.get("/tmp/data") == data


def test_panic_in_the_guest_is_noticed(machine: Machine) -> None:
    with pytest.raises(MachineDied):
        machine.run("echo c > /proc/sysrq-trigger")
    with pytest.raises(MachineError, match="Kernel panic"):
        check_log(machine)
    machine.log.close_window()
