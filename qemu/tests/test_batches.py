# SPDX-License-Identifier: GPL-2.0
"""Requests that come together go to the controller together."""

import pytest

from machine import Machine
from nvme import Driver, PhysicalFunction, disk, fio
from trace import traced

_COMMAND = "pci_nvme_io_cmd"
_DOORBELL = "pci_nvme_mmio_doorbell_sq"
_TRACING = "/sys/kernel/tracing"
_LOCK = "rust_helper_spin_lock"
"""By which Rust code takes spinlocks. Where commands are sent there is one, that of
the submission queue."""


def test_batch(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """Sixteen requests take the submission queue's lock once, and ring one doorbell."""
    if driver.name != "nvme_rs":
        pytest.skip("the kernel's own driver has its locks elsewhere")
    device = disk(machine, pf.live(), 1)
    machine.run(f"echo 'p:lock {_LOCK}' > {_TRACING}/kprobe_events;"
                f" echo 1 > {_TRACING}/events/kprobes/enable")
    try:
        with traced(machine, _COMMAND, _DOORBELL) as lines:
            fio(machine, device, rw="randread", bs="4k", size="1m", iodepth=16,
                iodepth_batch_submit=16, iodepth_batch_complete_min=16, verify="none")
        name, locked, _missed = machine.read(f"{_TRACING}/kprobe_profile").split()
    finally:
        machine.run(f"echo 0 > {_TRACING}/events/kprobes/enable;"
                    f" echo > {_TRACING}/kprobe_events")
    # The admin queue is number 0.
    commands, doorbells = (
        len([line for line in lines
             if line.startswith(event) and "sqid 0 " not in line])
        for event in (_COMMAND, _DOORBELL))
    assert name == "lock" and commands >= 256, lines[:20]
    assert 1 <= doorbells <= commands / 8, (commands, doorbells)
    assert doorbells <= int(locked) <= commands / 8, (commands, locked)
