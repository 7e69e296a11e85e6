# SPDX-License-Identifier: GPL-2.0
"""Three measures of what an I/O costs. Each runs a point's workload."""

from benchmark.guest import Guest
from benchmark.point import Point
from benchmark.profile.profile import Profile
from guest.trace import traced

COUNTED_IOS = 20_000
"""The number of I/Os whose instructions are counted."""
FEW = 1_000
"""The number of I/Os in the run that is subtracted, for the cost of fio itself."""
SECONDS = 2.0
TRACED_IOS = 2_000
"""How many I/Os QEMU traces; they are slow."""

_EVENTS = {"sq": "pci_nvme_mmio_doorbell_sq", "cq": "pci_nvme_mmio_doorbell_cq",
           "irq": "pci_nvme_irq_msix"}


def warm_up(guest: Guest, point: Point) -> None:
    """Has caches filled, so that the next runs do the same."""
    guest.run(point, 60, number_ios=TRACED_IOS)


def profile(guest: Guest, point: Point, ios: int = COUNTED_IOS) -> Profile:
    """Returns where the guest's instructions for an I/O are."""
    # fio's start and end cost the same in both runs, and cancel out.
    few, many = (guest.execute(point, number) for number in (FEW, FEW + ios))
    executed = many - few
    return Profile(executed.instructions / ios, guest.symbols.costs({
        address: number / ios for address, number in executed.executions.items() if number}))


def count(guest: Guest, point: Point, ios: int = COUNTED_IOS) -> dict[str, float]:
    """Returns the instructions for an I/O: those of the guest, and those of the driver."""
    found = profile(guest, point, ios)
    return {"instructions": found.instructions, "own": found.own}


def time(guest: Guest, point: Point, seconds: float = SECONDS) -> dict[str, float]:
    """Returns the I/Os per second, and in microseconds their latency and fio's CPU time per
    I/O."""
    job = guest.run(point, 60, time_based=1, runtime=f"{seconds * 1000:.0f}ms",
                    lat_percentiles=1)
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
        guest.run(point, 60, number_ios=ios)
    # Queue 0 is the admin queue.
    mine = [line for line in lines if "qid 0 " not in line]
    return {name: sum(line.startswith(event) for line in mine) / (ios * point.jobs)
            for name, event in _EVENTS.items()}
