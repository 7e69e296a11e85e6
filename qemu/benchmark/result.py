# SPDX-License-Identifier: GPL-2.0
"""The measured values, and the ratios of the two drivers."""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist, fmean, median, stdev

from benchmark import limits
from benchmark.build import inlined
from benchmark.guest import DRIVERS
from benchmark.point import Point

RATIOS = ("instructions", "own", "iops")
"""The measures of which the ratio tells something."""


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
    inlined: bool = field(default_factory=inlined)
    """Whether C's inline functions are inlined in the module."""

    def add(self, driver: str, measured: dict[str, float]) -> None:
        """Adds the values of a round."""
        for measure, value in measured.items():
            self.values[driver].setdefault(measure, []).append(value)

    def has(self, measure: str) -> bool:
        """Returns whether there are values of a measure."""
        return all(measure in values for values in self.values.values())

    def _least(self, measure: str) -> bool:
        """Returns whether the least value of all rounds counts."""
        return self.point.waits and measure in ("instructions", "own")

    def best(self, driver: str, measure: str) -> float:
        """Returns the value of a measure over all rounds.

        If the CPU waits for the device, it executes extra instructions while it waits, so
        the least value counts. Otherwise chance adds or removes some, so the median counts.
        """
        values = self.values[driver][measure]
        return min(values) if self._least(measure) else median(values)

    def ratios(self, measure: str) -> list[float]:
        """Returns the ratio of each round."""
        theirs, ours = (self.values[name][measure] for name in DRIVERS)
        return [b / a for a, b in zip(theirs, ours, strict=True)]

    def ratio(self, measure: str) -> Ratio:
        """Returns the ratio over all rounds. It is the median of the rounds' ratios, as the
        load of the host differs from round to round."""
        ratios = self.ratios(measure)
        if self._least(measure):
            theirs, ours = (self.best(name, measure) for name in DRIVERS)
            value = ours / theirs
        else:
            value = median(ratios)
        return Ratio(value, min(ratios), max(ratios))

    def complaints(self) -> Iterator[str]:
        """Yields a line for each ratio of instructions beyond its limit."""
        most = limits.own_text(self.point, self.inlined)
        # A polled queue is looked at as often as chance has it.
        checked = self.has("own") and not self.point.polled
        if checked and (ratio := self.ratio("own")).value > most:
            yield f"{self.point.name}: ratio of own text is {ratio}, more than {most}"
        most = limits.whole_guest(self.point, self.inlined)
        # What the guest does while it waits is left to chance. In batches nothing is; of other
        # points no round may be good.
        if self.has("instructions") and not self.point.waits:
            ratio = self.ratio("instructions")
            if (ratio.value if self.point.batch > 1 else ratio.least) > most:
                yield f"{self.point.name}: ratio of instructions is {ratio}, more than {most}"


def together(results: list[Result], measure: str) -> Ratio:
    """Returns the geometric mean of the ratios in all rounds of ``results``, and its 95 %
    confidence interval. Single points may differ."""
    logarithms = [math.log(ratio) for result in results for ratio in result.ratios(measure)]
    mean, error = fmean(logarithms), 0.0
    if len(logarithms) > 1:
        error = stdev(logarithms) / math.sqrt(len(logarithms)) * NormalDist().inv_cdf(0.975)
    return Ratio(*map(math.exp, (mean, mean - error, mean + error)))


def complaints(results: list[Result]) -> list[str]:
    """Returns a line for each ratio beyond its limit."""
    found = [text for result in results for text in result.complaints()]
    timed = [result for result in results if result.has("iops")]
    if timed and (ratio := together(timed, "iops")).most < limits.IOPS:
        found.append(f"all points together: ratio of IOPS is {ratio}, less than {limits.IOPS}")
    return found


def save(results: list[Result], path: Path) -> None:
    """Writes results to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        "kernel": os.environ["NVME_RS_ABI"],
        "results": [{
            "name": result.point.name, "point": asdict(result.point),
            "inlined": result.inlined, "values": result.values,
            "ratios": {measure: asdict(result.ratio(measure))
                       for measure in RATIOS if result.has(measure)},
        } for result in results],
    }, indent=1) + "\n")


def load(path: Path) -> list[Result]:
    """Returns the results in a file."""
    return [Result(Point(**one["point"]), one["values"], one["inlined"])
            for one in json.loads(path.read_text())["results"]]
