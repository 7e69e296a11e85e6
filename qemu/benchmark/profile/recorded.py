# SPDX-License-Identifier: GPL-2.0
"""What the own text of nvme-rs was when it was last recorded, to find what it has gained."""

import json
from pathlib import Path

from benchmark.build import inlined
from benchmark.point import Point

POINTS = [Point("count", "randread", batch=16), Point("count", "read", kib=128, batch=16)]
"""Points without chance in them, of one guest."""
_FILE = Path(__file__).with_suffix(".json")
_TOLERANCE = 0.02


def _kind() -> str:
    return "inlined" if inlined() else "plain"


def _all() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(_FILE.read_text())
    return found


def figure(point: Point) -> float:
    """Returns the instructions for an I/O that are recorded for a build such as this one, or 0 if
    none are."""
    return _all().get(_kind(), {}).get(point.name, 0.0)


def complaints(own: dict[Point, float]) -> list[str]:
    """Returns a line for each point whose own text is not what is recorded. What has become
    better is to be recorded, or it could be lost again unnoticed."""
    found = []
    for point, value in own.items():
        known = figure(point)
        todo = ": record it by make profile PROFILE=--record"
        if not known:
            found.append(f"{point.name}: no own text of a build that is {_kind()} is recorded{todo}")
        elif value > known * (1 + _TOLERANCE):
            found.append(f"{point.name}: own text of {value:.1f} instructions is"
                         f" {value / known - 1:.1%} more than the recorded {known:.1f}")
        elif value < known * (1 - _TOLERANCE):
            found.append(f"{point.name}: own text of {value:.1f} instructions is"
                         f" {1 - value / known:.1%} less than the recorded {known:.1f}{todo}")
    return found


def record(own: dict[Point, float]) -> None:
    """Records figures for builds such as this one."""
    found = _all()
    found[_kind()] = {point.name: round(value, 1) for point, value in own.items()}
    _FILE.write_text(json.dumps(found, indent=1) + "\n")
