# SPDX-License-Identifier: GPL-2.0
"""Draws the benchmark's ratios."""

from pathlib import Path

import pygal
from pygal.style import LightStyle

from benchmark.point import CLOCKS
from benchmark.result import Result

_MEASURES = {"count": ("instructions", "Instructions for each I/O"),
             "time": ("iops", "I/Os for each second")}


def plot(results: list[Result], folder: Path) -> list[Path]:
    """Draws a chart for each clock. A bar is a ratio, its whisker the range of the rounds."""
    paths = []
    for clock in CLOCKS:
        measure, title = _MEASURES[clock]
        mine = [result for result in results if result.point.clock == clock]
        if not mine:
            continue
        ratios = [result.ratio(measure) for result in mine]
        chart = pygal.Bar(
            title=f"{title}, nvme-rs by nvme", show_legend=False, style=LightStyle,
            width=max(600, 40 * len(mine)), height=600, x_label_rotation=60,
            range=(min(0.8, *(r.least for r in ratios)), max(1.2, *(r.most for r in ratios))),
            x_labels=[result.point.name.partition(":")[2] for result in mine],
            disable_xml_declaration=False, js=())
        chart.add(measure, [
            {"value": ratio.value, "ci": {"low": ratio.least, "high": ratio.most}}
            for ratio in ratios])
        paths.append(folder / f"{clock}.svg")
        chart.render_to_file(str(paths[-1]))
    return paths
