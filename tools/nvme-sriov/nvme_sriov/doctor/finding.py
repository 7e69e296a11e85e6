# SPDX-License-Identifier: GPL-2.0
"""What the doctor finds."""

from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How bad it is."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    """VFs work, but not for everything."""
    ERROR = "error"
    """VFs do not work."""


@dataclass(frozen=True)
class Finding:
    """A fact about this machine."""

    grade: Grade
    subject: str
    text: str
    advice: str = ""
    """What to do about it."""


def ok(subject: object, text: str) -> Finding:
    """Returns what is as it should be."""
    return Finding(Grade.OK, str(subject), text)


def unknown(subject: object, text: str, advice: str) -> Finding:
    """Returns what cannot be seen."""
    return Finding(Grade.UNKNOWN, str(subject), text, advice)


def warning(subject: object, text: str, advice: str) -> Finding:
    """Returns what keeps VFs from some uses."""
    return Finding(Grade.WARNING, str(subject), text, advice)


def error(subject: object, text: str, advice: str) -> Finding:
    """Returns what keeps VFs from working."""
    return Finding(Grade.ERROR, str(subject), text, advice)
