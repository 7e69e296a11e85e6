# SPDX-License-Identifier: GPL-2.0
"""Draws where the instructions of both drivers are."""

from pathlib import Path

import pygal
from pygal.style import LightStyle

from benchmark.guest import DRIVERS
from benchmark.profile.profile import Part, Profile, part
from benchmark.profile.table import short

_LEAST = 1.0
"""The instructions below which a function gets no bar."""
_COLOURS = {
    Part.DRIVER: ("#2b5c8a", "#b5501b"),
    Part.HELPERS: ("#5b8db8", "#e07b39"),
    Part.WRAPPERS: ("#95b8d6", "#f2a97a"),
    Part.CORE: ("#9a9a9a", "#9a9a9a"),
}
"""The colour of each part that is shown, of one driver and of the other."""


def plot(name: str, profiles: dict[str, Profile], path: Path) -> None:
    """Draws a bar for each function, the functions of one driver below those of the other. A
    colour is a part of one driver."""
    rows, titles, colours = [], {}, []
    for at, driver in enumerate(DRIVERS):
        profile = profiles[driver]
        for one in _COLOURS:
            found = sorted(((driver, one, function.name, cost) for function, cost
                            in profile.costs.items()
                            if part(function) is one and cost.instructions >= _LEAST),
                           key=lambda row: (-row[3].instructions, row[2]))
            if found:
                rows += found
                titles[driver, one] = f"{driver}: {one.value}, {profile.sum(one):.0f}"
                colours.append(_COLOURS[one][at])
    own = " and ".join(f"{profiles[driver].own:.0f} ({driver})" for driver in DRIVERS)
    # The first row is to be the topmost.
    rows.reverse()
    chart = pygal.HorizontalStackedBar(
        title=f"{name}: own text of {own} instructions for each I/O",
        style=LightStyle(colors=colours, background="white", plot_background="white"),
        width=1200, height=150 + 22 * len(rows), legend_at_bottom=True, truncate_legend=-1,
        truncate_label=-1, x_labels=[short(function) for _, _, function, _ in rows],
        print_values=False, disable_xml_declaration=False, js=())
    for shown, title in titles.items():
        chart.add(title, [
            {"value": cost.instructions, "label": f"called {cost.calls:.3f} times"}
            if (driver, one) == shown else None for driver, one, _, cost in rows])
    chart.render_to_file(str(path))
