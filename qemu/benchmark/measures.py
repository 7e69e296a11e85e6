# SPDX-License-Identifier: GPL-2.0
"""What an I/O costs, by three measures. Each does a point's work once."""

import json

from benchmark.guest import Guest
from benchmark.point import Point
from guest.trace import traced

COUNTED_IOS = 20_000
"""How many I/Os are counted."""
_FEW = 1_000
"""How many more are done to find out what fio itself costs."""
SECONDS = 2.0
TRACED_IOS = 2_000
"""How many I/Os QEMU traces; they are slow."""

_EVENTS = {"sq": "pci_nvme_mmio_doorbell_sq", "cq": "pci_nvme_mmio_doorbell_cq",
           "irq": "pci_nvme_irq_msix"}


def count(guest: Guest, point: Point, ios: int = COUNTED_IOS) -> dict[str, float]:
    """Returns the instructions of the guest, for each I/O."""
    # What fio does before and after its I/O is the same in both.
    few, many = (guest.instructions(guest.command(point, number_ios=number))
                 for number in (_FEW, _FEW + ios))
    return {"instructions": (many - few) / ios}


def time(guest: Guest, point: Point, seconds: float = SECONDS) -> dict[str, float]:
    """Returns I/Os for each second, their latency, and the CPU time that fio had for
    each, all in microseconds."""
    command = guest.command(point, time_based=1, runtime=f"{seconds * 1000:.0f}ms",
                            lat_percentiles=1)
    guest.machine.run(command, 60)
    said = guest.machine.read(command.split("--output=")[1].split()[0])
    # Notes to the user may precede the result.
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
    """Returns the doorbells of both kinds and the interrupts, for each I/O, as QEMU's
    device sees them."""
    with traced(guest.machine, *_EVENTS.values()) as lines:
        guest.machine.run(guest.command(point, number_ios=ios), 60)
    # Queue 0 is the admin queue's.
    mine = [line for line in lines if "qid 0 " not in line]
    return {name: sum(line.startswith(event) for line in mine) / (ios * point.jobs)
            for name, event in _EVENTS.items()}
