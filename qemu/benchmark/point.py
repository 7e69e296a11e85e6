# SPDX-License-Identifier: GPL-2.0
"""A point of the benchmark: one workload in one kind of guest."""

from dataclasses import dataclass

from guest.shape import Shape

CLOCKS = ("count", "time")
"""What is measured: executed instructions, or time."""
CPUS = {"count": 1, "time": 2}
_DISK_MIB = 4096
"""The size of the disk, on which a sequential job of 21,000 I/Os of 128 KiB finds room."""


@dataclass(frozen=True)
class Point:
    """A workload of fio, and the guest in which it runs."""

    clock: str
    """One of CLOCKS."""
    rw: str
    """fio's name of the workload, such as randread."""
    kib: int = 4
    depth: int = 32
    """How many requests each job has under way."""
    jobs: int = 1
    polled: bool = False
    """Whether completions are polled for instead of signalled by interrupts."""
    batch: int = 1
    """How many requests are submitted, and waited for, together."""
    shadow: bool = False
    """Whether the controller has shadow doorbells (Doorbell Buffer Config)."""

    @property
    def name(self) -> str:
        """Returns the name that ``-k`` searches, such as count:randread-4k-1x32."""
        return "-".join(filter(None, (
            f"{self.clock}:{self.rw}", f"{self.kib}k", f"{self.jobs}x{self.depth}",
            f"batch{self.batch}" if self.batch > 1 else "",
            "polled" if self.polled else "", "shadow" if self.shadow else "")))

    @property
    def waits(self) -> bool:
        """Returns whether the CPUs do nothing but wait while the device works."""
        return self.polled or self.depth == 1

    @property
    def shape(self) -> Shape:
        """Returns the guest: its disk costs no time, and its controller has a queue with an
        interrupt and a polled queue for each CPU."""
        cpus = CPUS[self.clock]
        return Shape(cpus=cpus, vfs=0, io_queues=2 * cpus, namespaces=0,
                     namespace_mib=_DISK_MIB, null=True, counted=self.clock == "count",
                     shadow_doorbells=self.shadow)

    @property
    def options(self) -> dict[str, object]:
        """Returns fio's options for the workload."""
        return {
            "rw": self.rw, "bs": f"{self.kib}k", "iodepth": self.depth,
            "numjobs": self.jobs, "hipri": int(self.polled),
            "iodepth_batch_submit": self.batch,
            "iodepth_batch_complete_min": self.batch,
            "group_reporting": 1, "norandommap": 1, "disk_util": 0,
            "size": f"{_DISK_MIB}m", "verify": 0,
            # In huge pages each I/O has one segment; else the number of segments would depend
            # on where the guest found memory.
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
    """Returns all points; those of one guest are next to each other."""
    return [Point(**vars(point) | {"shadow": shadow})
            for make in (_counted, _timed) for shadow in (False, True)
            for point in make()]


def named(words: str, among: list[Point]) -> list[Point]:
    """Returns those of ``among`` whose name has all words, and none of those behind a !."""
    return [point for point in among
            if all((word.removeprefix("!") in point.name) != word.startswith("!")
                   for word in words.split())]


def quick() -> list[Point]:
    """Returns the few points that are most telling."""
    return [Point("count", "randread"), Point("count", "randwrite"),
            Point("time", "randread")]
