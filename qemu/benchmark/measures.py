# SPDX-License-Identifier: GPL-2.0
"""Three measures of what an I/O costs. Each runs a point's workload."""

import json

from benchmark.guest import Guest
from benchmark.point import Point
from guest.trace import traced

COUNTED_IOS = 20_000
"""The number of I/Os whose instructions are counted."""
_FEW = 1_000
"""The number of I/Os in the run that is subtracted, for the cost of fio itself."""
SECONDS = 2.0
TRACED_IOS = 2_000
"""How many I/Os QEMU traces; they are slow."""

_EVENTS = {"sq": "pci_nvme_mmio_doorbell_sq", "cq": "pci_nvme_mmio_doorbell_cq",
           "irq": "pci_nvme_irq_msix"}


def count(guest: Guest, point: Point, ios: int = COUNTED_IOS) -> dict[str, float]:
    """Returns the instructions of the guest per I/O."""
    # fio's start and end cost the same in both runs, and cancel out.
    few, many = (guest.instructions(guest.command(point, number_ios=number))
                 for number in (_FEW, _FEW + ios))
    return {"instructions": (many - few) / ios}


def time(guest: Guest, point: Point, seconds: float = SECONDS) -> dict[str, float]:
    """Returns the I/Os per second, and in microseconds their latency and fio's CPU time per
    I/O."""
    command = guest.command(point, time_based=1, runtime=f"{seconds * 1000:.0f}ms",
                            lat_percentiles=1)
    guest.machine.run(command, 60)
    said = guest.machine.read(command.split("--output=")[1].split()[0])
    # fio may print notes before the JSON.
    job = json.loads(said[said.index("{"):])["jobs"][0]
    data = job["read" if "read" in point.rw else "write"]
    percentiles = data["lat_ns"]["percentile"]
    busy = (job["usr_cpu"] + job["sys_cpu"]) / 100 * data["runtime"] * 1000 * point.jobs
    return {
        "iops": data["iops"],
        "p50": percentiles["50.000000"] / 1000,
        "p99": percentiles["99.000000"] / 1000,
        "cpu": busy / data["total_ios"],
    }


def trace(guest: Guest, point: Point, ios: int = TRACED_IOS) -> dict[str, float]:
    """Returns the doorbell writes of both kinds and the interrupts per I/O, as QEMU traces
    them."""
    with traced(guest.machine, *_EVENTS.values()) as lines:
        guest.machine.run(guest.command(point, number_ios=ios), 60)
    # Queue 0 is the admin queue.
    mine = [line for line in lines if "qid 0 " not in line]
    return {name: sum(line.startswith(event) for line in mine) / (ios * point.jobs)
            for name, event in _EVENTS.items()}
