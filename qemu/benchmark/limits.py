# SPDX-License-Identifier: GPL-2.0
"""The ratios that ``--check`` accepts."""

from benchmark.point import Point

IOPS = 1.0
"""The least mean ratio of the IOPS of all points."""


def own_text(point: Point, inlined: bool) -> float:
    """Returns the greatest ratio of the driver's own text."""
    if not inlined:
        return 0.95
    if point.batch > 1:
        return 0.70 if point.kib == 4 else 0.80
    if point.depth == 32 and not point.polled:
        return 0.78
    return 0.85


def whole_guest(point: Point, inlined: bool) -> float:
    """Returns the greatest ratio of the whole guest's instructions."""
    if not inlined:
        return 1.0
    return 0.98 if point.batch > 1 and point.kib == 4 else 0.99
