# SPDX-License-Identifier: GPL-2.0
"""The measured values, and the ratios of the two drivers."""

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist, fmean, median, stdev

from benchmark.guest import DRIVERS
from benchmark.point import Point

LIMITS = {"instructions": (0.0, 1.05), "iops": (0.95, float("inf"))}
"""The least and the greatest ratio that ``--check`` accepts."""


@dataclass(frozen=True)
class Ratio:
    """The value of nvme-rs divided by that of the kernel's own driver."""

    value: float
    least: float
    most: float
    """The least and the greatest ratio of a single round."""

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.least:.3f}..{self.most:.3f})"


@dataclass
class Result:
    """All rounds of a point."""

    point: Point
    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {name: {} for name in DRIVERS})
    """The values of all rounds, by driver and measure."""

    def add(self, driver: str, measured: dict[str, float]) -> None:
        """Adds the values of a round."""
        for measure, value in measured.items():
            self.values[driver].setdefault(measure, []).append(value)

    def best(self, driver: str, measure: str) -> float:
        """Returns the value of a measure over all rounds.

        If the CPU waits for the device, it executes extra instructions while it waits, so
        the least value counts. Otherwise chance adds or removes some, so the median counts.
        """
        values = self.values[driver][measure]
        least = measure == "instructions" and self.point.waits
        return min(values) if least else median(values)

    def ratios(self, measure: str) -> list[float]:
        """Returns the ratio of each round."""
        theirs, ours = (self.values[name][measure] for name in DRIVERS)
        return [b / a for a, b in zip(theirs, ours, strict=True)]

    def ratio(self, measure: str) -> Ratio:
        """Returns the ratio over all rounds. It is the median of the rounds' ratios, as the
        load of the host differs from round to round."""
        ratios = self.ratios(measure)
        if measure == "instructions" and self.point.waits:
            theirs, ours = (self.best(name, measure) for name in DRIVERS)
            value = ours / theirs
        else:
            value = median(ratios)
        return Ratio(value, min(ratios), max(ratios))

    def complaints(self) -> list[str]:
        """Returns a line for each ratio beyond LIMITS, except those that depend on chance."""
        found = []
        for measure, (least, most) in LIMITS.items():
            by_chance = measure == "instructions" and self.point.waits
            if measure in self.values[DRIVERS[0]] and not by_chance:
                ratio = self.ratio(measure)
                if not least <= ratio.value <= most:
                    found.append(f"{self.point.name}: ratio of {measure} is {ratio}")
        return found


def together(results: list[Result], measure: str) -> Ratio:
    """Returns the geometric mean of the ratios in all rounds of ``results``, and its 95 %
    confidence interval. Single points may differ."""
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
