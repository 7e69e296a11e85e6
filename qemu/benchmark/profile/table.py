# SPDX-License-Identifier: GPL-2.0
"""The table of a point: the functions of both drivers side by side."""

import re
from collections.abc import Iterator

from benchmark.guest import DRIVERS
from benchmark.profile.profile import Part, Profile, part
from benchmark.symbols import Cost, Function

_LEAST = 0.05
"""The instructions, or the difference of the two drivers, below which a function is left out."""
_LEAST_ELSEWHERE = 2.0
"""The same for what both drivers have in common, where chance alone makes a difference."""
_INDENT = "  "


def short(name: str) -> str:
    """Returns a function's name with only the last word of each generic parameter."""
    return re.sub(r"(?<=[\w:]<|, )(?:\w+::)+", "", name)


def table(name: str, profiles: dict[str, Profile], everything: bool = False) -> Iterator[str]:
    """Yields the lines of a point's table. Each pair of columns is a driver's."""
    both = [profiles[driver] for driver in DRIVERS]
    yield name
    yield "".join(f"{driver:>18}" for driver in DRIVERS) + "   ratio"
    yield "".join(f"{'instr.':>10}{'calls':>8}" for _ in DRIVERS)
    yield _row([Cost(profile.instructions, 0) for profile in both], "whole guest", ratio=True)
    yield _row([Cost(profile.own, 0) for profile in both], "own text", ratio=True)
    for one in Part:
        yield _row([Cost(profile.sum(one), 0) for profile in both],
                   (_INDENT if one.own else "") + one.value, ratio=True)
        for function, costs in _functions(both, one, everything):
            yield _row(costs, _INDENT * (1 + one.own) + short(function.name)
                       + (f" [{function.module}]" if one is Part.KERNEL and function.module
                          else ""))


def _functions(both: list[Profile], one: Part,
               everything: bool) -> list[tuple[Function, list[Cost]]]:
    """Returns the functions of a part with what they cost, those that cost most first. Of what
    both drivers have in common, only those that differ."""
    if one is Part.PROGRAMS:
        return []
    found = []
    for function in {function for profile in both for function in profile.costs}:
        costs = [profile.costs.get(function, Cost(0, 0)) for profile in both]
        theirs, ours = (cost.instructions for cost in costs)
        if one.own or everything:
            shown = max(abs(theirs), abs(ours)) >= _LEAST
        else:
            shown = abs(theirs - ours) >= _LEAST_ELSEWHERE
        if part(function) is one and shown:
            found.append((function, costs))
    return sorted(found, key=lambda pair: (
        [-cost.instructions for cost in reversed(pair[1])], pair[0]))


def _row(costs: list[Cost], name: str, ratio: bool = False) -> str:
    cells = [f"{cost.instructions:10.1f}{f'{cost.calls:8.3f}' if cost.calls else ' ' * 8}"
             if cost.instructions or cost.calls else " " * 18 for cost in costs]
    theirs, ours = (cost.instructions for cost in costs)
    said = f"{ours / theirs:8.3f}" if ratio and theirs and ours else " " * 8
    return f"{''.join(cells)}{said}  {name}".rstrip()
