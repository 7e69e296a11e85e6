# SPDX-License-Identifier: GPL-2.0
"""What was measured, and what the two drivers' ratio is."""

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist, fmean, median, stdev

from benchmark.guest import DRIVERS
from benchmark.point import Point

LIMITS = {"instructions": (0.0, 1.05), "iops": (0.95, float("inf"))}
"""Between which ratios a driver of ours has to be."""


@dataclass(frozen=True)
class Ratio:
    """Ours by the kernel's own."""

    value: float
    least: float
    most: float
    """That of single rounds."""

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.least:.3f}..{self.most:.3f})"


@dataclass
class Result:
    """All rounds of a point."""

    point: Point
    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {name: {} for name in DRIVERS})
    """By driver and measure, one of each round."""

    def add(self, driver: str, measured: dict[str, float]) -> None:
        """Adds what a round has brought."""
        for measure, value in measured.items():
            self.values[driver].setdefault(measure, []).append(value)

    def best(self, driver: str, measure: str) -> float:
        """What a measure is, all rounds considered.

        An instruction more than necessary is executed while a CPU waits, so then the
        least is what counts. Else there may be more, or fewer, by chance.
        """
        values = self.values[driver][measure]
        least = measure == "instructions" and self.point.waits
        return min(values) if least else median(values)

    def ratios(self, measure: str) -> list[float]:
        """How the drivers compare in each round."""
        theirs, ours = (self.values[name][measure] for name in DRIVERS)
        return [b / a for a, b in zip(theirs, ours, strict=True)]

    def ratio(self, measure: str) -> Ratio:
        """How the drivers compare. Rounds are compared with themselves, for all that
        the host does meanwhile."""
        ratios = self.ratios(measure)
        if measure == "instructions" and self.point.waits:
            theirs, ours = (self.best(name, measure) for name in DRIVERS)
            value = ours / theirs
        else:
            value = median(ratios)
        return Ratio(value, min(ratios), max(ratios))

    def complaints(self) -> list[str]:
        """Returns what is beyond LIMITS, unless chance has a part in it."""
        found = []
        for measure, (least, most) in LIMITS.items():
            by_chance = measure == "instructions" and self.point.waits
            if measure in self.values[DRIVERS[0]] and not by_chance:
                ratio = self.ratio(measure)
                if not least <= ratio.value <= most:
                    found.append(f"{self.point.name}: ratio of {measure} is {ratio}")
        return found


def together(results: list[Result], measure: str) -> Ratio:
    """Returns the geometric mean of the ratios in all rounds of ``results``, and between
    what it is with a confidence of 95 %. Single points may differ."""
    logarithms = [math.log(ratio) for result in results for ratio in result.ratios(measure)]
    mean, error = fmean(logarithms), 0.0
    if len(logarithms) > 1:
        error = stdev(logarithms) / math.sqrt(len(logarithms)) * NormalDist().inv_cdf(0.975)
    return Ratio(*map(math.exp, (mean, mean - error, mean + error)))


def save(results: list[Result], path: Path) -> None:
    """Writes results to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        "kernel": os.environ["NVME_RS_ABI"],
        "results": [{
            "name": result.point.name, "point": asdict(result.point),
            "values": result.values,
            "ratios": {measure: asdict(result.ratio(measure))
                       for measure in ("instructions", "iops")
                       if measure in result.values[DRIVERS[0]]},
        } for result in results],
    }, indent=1) + "\n")


def load(path: Path) -> list[Result]:
    """Returns the results in a file."""
    return [Result(Point(**one["point"]), one["values"])
            for one in json.loads(path.read_text())["results"]]
