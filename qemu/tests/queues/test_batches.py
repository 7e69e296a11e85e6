# SPDX-License-Identifier: GPL-2.0
"""Batches: requests that are queued together reach the controller with one doorbell."""

import re

from guest.machine import Machine
from guest.trace import traced
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.tracing import kernel_traced

_COMMAND = "pci_nvme_io_cmd"
_DOORBELL = "pci_nvme_mmio_doorbell_sq"
_EVENT = "nvme/nvme_setup_cmd"
"""The event in which nvme-core builds a command from a request."""


_SIXTEEN = {"iodepth": 16, "iodepth_batch_submit": 16,
            "iodepth_batch_complete_min": 16}
"""Sixteen requests at a time, for fio."""


def callers(machine: Machine, device: str, **options: object) -> tuple[int, int]:
    """Runs fio. Returns how many I/O commands were built in the driver's queue_rqs, and how
    many in its queue_rq."""
    with kernel_traced(machine, _EVENT, trigger="stacktrace if qid > 0") as lines:
        fio(machine, device, rw="randread", bs="4k", size="1m", verify=0, **options)
    # The names of these functions in C and in Rust.
    batched, single = (
        sum(bool(re.search(rf"=> (nvme_{name}\b|.*\d{name}_callback)", line))
            for line in lines)
        for name in ("queue_rqs", "queue_rq"))
    return batched, single


def test_batch(machine: Machine, pf: PhysicalFunction) -> None:
    """Sixteen requests ring one doorbell."""
    device = disk(machine, pf.live(), 1)
    with traced(machine, _COMMAND, _DOORBELL) as lines:
        fio(machine, device, rw="randread", bs="4k", size="1m", verify=0, **_SIXTEEN)
    # Queue 0 is the admin queue.
    commands, doorbells = (
        len([line for line in lines
             if line.startswith(event) and "sqid 0 " not in line])
        for event in (_COMMAND, _DOORBELL))
    assert commands >= 200, lines[:20]  # Neighbouring requests are merged.
    assert 1 <= doorbells <= commands / 8, (commands, doorbells)


def test_one_call_for_a_batch(machine: Machine, pf: PhysicalFunction) -> None:
    """The block layer passes sixteen requests in one call, and a single one by queue_rq."""
    device = disk(machine, pf.live(), 1)
    batched, single = callers(machine, device, **_SIXTEEN)
    assert batched >= 200 and single < 20, (batched, single)
    batched, single = callers(machine, device, ioengine="psync", iodepth=1)
    assert batched < 20 and single >= 200, (batched, single)
