# SPDX-License-Identifier: GPL-2.0
"""What the benchmark measures: one workload, on one kind of guest."""

from dataclasses import dataclass

from guest.shape import Shape

CLOCKS = ("count", "time")
"""By what a guest is measured: the instructions that it executes, or the clock."""
CPUS = {"count": 1, "time": 2}


@dataclass(frozen=True)
class Point:
    """A workload of fio, and the guest that it runs in."""

    clock: str
    """One of CLOCKS."""
    rw: str
    """What fio calls it: randread, say."""
    kib: int = 4
    depth: int = 32
    """How many requests each job has under way."""
    jobs: int = 1
    polled: bool = False
    """Whether completions are polled for, and not told by interrupts."""
    batch: int = 1
    """How many requests are submitted, and waited for, together."""
    shadow: bool = False
    """Whether the controller has shadow doorbells (Doorbell Buffer Config)."""

    @property
    def name(self) -> str:
        """The name by which ``-k`` finds it: count:randread-4k-1x32, say."""
        return "-".join(filter(None, (
            f"{self.clock}:{self.rw}", f"{self.kib}k", f"{self.jobs}x{self.depth}",
            f"batch{self.batch}" if self.batch > 1 else "",
            "polled" if self.polled else "", "shadow" if self.shadow else "")))

    @property
    def waits(self) -> bool:
        """Whether CPUs have nothing to do for as long as the device takes, but to wait."""
        return self.polled or self.depth == 1

    @property
    def shape(self) -> Shape:
        """The guest: a controller whose disk costs nothing, and a queue, and another
        one that is polled, for each CPU."""
        cpus = CPUS[self.clock]
        return Shape(cpus=cpus, vfs=0, io_queues=2 * cpus, namespaces=0,
                     namespace_mib=1024, null=True, counted=self.clock == "count",
                     shadow_doorbells=self.shadow)

    @property
    def options(self) -> dict[str, object]:
        """The workload, in fio's words."""
        return {
            "rw": self.rw, "bs": f"{self.kib}k", "iodepth": self.depth,
            "numjobs": self.jobs, "hipri": int(self.polled),
            "iodepth_batch_submit": self.batch,
            "iodepth_batch_complete_min": self.batch,
            "group_reporting": 1, "norandommap": 1, "disk_util": 0,
            "size": "1g", "verify": 0,
            # One segment each, or it depends on where the guest found memory.
            **({"iomem": "shmhuge"} if self.kib > 4 else {}),
        }


def _counted() -> list[Point]:
    found = []
    for rw in ("randread", "randwrite"):
        found += [Point("count", rw, depth=depth) for depth in (32, 128, 1)]
        found += [Point("count", rw, depth=32, batch=16),
                  Point("count", rw, depth=32, polled=True)]
    return found + [Point("count", rw, kib=128, batch=16) for rw in ("read", "write")]


def _timed() -> list[Point]:
    return [
        *(Point("time", rw, depth=depth, jobs=jobs, polled=polled)
          for polled in (False, True) for depth in (1, 32, 128) for jobs in (1, 2)
          for rw in ("randread", "randwrite")),
        *(Point("time", rw, kib=128) for rw in ("read", "write")),
    ]


def points() -> list[Point]:
    """Returns all that there is to measure; those of one guest together."""
    return [Point(**vars(point) | {"shadow": shadow})
            for make in (_counted, _timed) for shadow in (False, True)
            for point in make()]


def quick() -> list[Point]:
    """Returns the few that tell most."""
    return [Point("count", "randread"), Point("count", "randwrite"),
            Point("time", "randread")]
