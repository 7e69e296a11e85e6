# SPDX-License-Identifier: GPL-2.0
"""Draws the benchmark's ratios."""

from itertools import chain
from pathlib import Path

import pygal
from pygal.style import LightStyle

from benchmark.point import CLOCKS
from benchmark.result import Result

_TITLES = {"count": "Instructions for each I/O", "time": "I/Os for each second"}
_MEASURES = {"count": {"instructions": "whole guest", "own": "the driver's own text"},
             "time": {"iops": "IOPS"}}


def plot(results: list[Result], folder: Path) -> list[Path]:
    """Draws a chart for each clock. A bar is a ratio, its whisker the range of the rounds."""
    paths = []
    for clock in CLOCKS:
        mine = [result for result in results if result.point.clock == clock]
        if not mine:
            continue
        series = {title: [result.ratio(measure) for result in mine]
                  for measure, title in _MEASURES[clock].items()}
        ratios = list(chain(*series.values()))
        chart = pygal.Bar(
            title=f"{_TITLES[clock]}, nvme-rs by nvme", show_legend=len(series) > 1,
            style=LightStyle, width=max(600, 40 * len(mine)), height=600, x_label_rotation=60,
            range=(min(0.8, *(r.least for r in ratios)), max(1.2, *(r.most for r in ratios))),
            x_labels=[result.point.name.partition(":")[2] for result in mine],
            disable_xml_declaration=False, js=())
        for title, ratios in series.items():
            chart.add(title, [
                {"value": ratio.value, "ci": {"low": ratio.least, "high": ratio.most}}
                for ratio in ratios])
        paths.append(folder / f"{clock}.svg")
        chart.render_to_file(str(paths[-1]))
    return paths
