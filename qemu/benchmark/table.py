# SPDX-License-Identifier: GPL-2.0
"""The benchmark's tables, one for each clock."""

from collections.abc import Callable, Iterator

from benchmark.guest import DRIVERS
from benchmark.point import CLOCKS
from benchmark.result import Result, together


def _pair(measure: str, form: str) -> Callable[[Result], str]:
    return lambda result: " / ".join(
        format(result.best(name, measure), form) for name in DRIVERS)


def _ratio(measure: str) -> Callable[[Result], str]:
    return lambda result: str(result.ratio(measure))


_EVENTS = {f"{title}/IO": _pair(measure, ".2f") for title, measure in
           (("SQ doorbells", "sq"), ("CQ doorbells", "cq"), ("interrupts", "irq"))}
_COLUMNS: dict[str, dict[str, Callable[[Result], str]]] = {
    "count": {"instructions/IO": _pair("instructions", ".0f"),
              "ratio (rounds)": _ratio("instructions"),
              "own text/IO": _pair("own", ".1f"), "own ratio (rounds)": _ratio("own"), **_EVENTS},
    "time": {"IOPS": _pair("iops", ".0f"), "ratio (rounds)": _ratio("iops"),
             "p50, us": _pair("p50", ".0f"), "p99, us": _pair("p99", ".0f"),
             "CPU/IO, us": _pair("cpu", ".1f"), **_EVENTS},
}


def table(results: list[Result]) -> Iterator[str]:
    """Yields the lines of the tables; each pair of values is nvme / nvme_rs."""
    for clock in CLOCKS:
        columns = {"": lambda result: result.point.name} | _COLUMNS[clock]
        mine = [result for result in results if result.point.clock == clock]
        if not mine:
            continue
        rows = [list(columns),
                *([column(result) for column in columns.values()] for result in mine)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield ""
        for row in rows:
            name, *cells = (cell.ljust(width) if not at else cell.rjust(width)
                            for at, (cell, width) in enumerate(
                                zip(row, widths, strict=True)))
            yield "  ".join([name, *cells])
        if clock == "time":
            yield f"all rounds together, with 95 % confidence: {together(mine, 'iops')}"
