# SPDX-License-Identifier: GPL-2.0
"""What a VF is to have, and the words for it on the command line and in the file."""

from dataclasses import dataclass

KINDS = ("queues", "interrupts")
"""The kinds of flexible resources, by the names of their files."""
MINIMUM = {"queues": 2, "interrupts": 1}
"""The fewest resources with which a VF works: an admin and an I/O queue, an interrupt."""

NO_DRIVER = "none"
"""Also what driver_override then has, as with driverctl: there is no driver of this name."""
DEFAULT_DRIVER = "default"

_MOST = 65535
_NO_NSID = (0, 0xffffffff)


@dataclass(frozen=True)
class Setting:
    """What a VF is to have."""

    queues: int = 0
    """0 for an equal share."""
    interrupts: int = 0
    namespaces: tuple[int, ...] = ()
    driver: str | None = None
    """The driver by its name; NO_DRIVER; DEFAULT_DRIVER for that which matches without
    driver_override; None if any will do."""

    def words(self, name: str) -> str:
        """Returns a value as the file has it, and sysfs takes it."""
        if name == "namespaces":
            return " ".join(map(str, self.namespaces))
        value = getattr(self, name)
        return "" if value is None else str(value)


def parse(name: str, words: str) -> object:
    """Returns the value of what is called ``name``. Raises ValueError, which says what is
    wrong."""
    if name in KINDS:
        return _count(name, words)
    if name == "namespaces":
        return _namespaces(words)
    if name == "driver":
        return _driver(words)
    raise ValueError(f"'{name}' is not one of queues, interrupts, namespaces, driver")


def number(words: str) -> int:
    """Returns a decimal number that is not negative. Raises ValueError."""
    if not (words.isascii() and words.isdigit()):
        raise ValueError(f"'{words}' is not a number")
    return int(words)


def _count(name: str, words: str) -> int:
    count = number(words)
    if count and not MINIMUM[name] <= count <= _MOST:
        raise ValueError(f"{count} {name}: a VF has {MINIMUM[name]} to {_MOST} of them,"
                         " or 0 for a share")
    return count


def _namespaces(words: str) -> tuple[int, ...]:
    if words == "none":
        return ()
    nsids = [number(word) for word in words.replace(",", " ").split()]
    for nsid in nsids:
        if nsid in _NO_NSID or nsid > _NO_NSID[1]:
            raise ValueError(f"no namespace can have the number {nsid}")
        if nsids.count(nsid) > 1:
            raise ValueError(f"namespace {nsid} is there twice")
    return tuple(nsids)


def _driver(words: str) -> str:
    if not words or not all(c.isalnum() or c in "-_" for c in words):
        raise ValueError(f"'{words}' is not the name of a driver")
    return words
