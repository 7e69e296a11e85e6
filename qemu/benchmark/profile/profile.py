# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of an I/O are."""

from dataclasses import dataclass
from enum import Enum

from benchmark.guest import DRIVERS
from benchmark.symbols import PROGRAM, Cost, Function


class Part(Enum):
    """What a function is a part of."""

    DRIVER = "driver"
    """The text of the driver's module."""
    HELPERS = "rust_helper_*"
    """The functions of the kernel's that stand for C's inline functions."""
    WRAPPERS = "DMA wrappers"
    """Functions of the kernel's that only translate between two interfaces for DMA."""
    CORE = "nvme-core"
    KERNEL = "kernel"
    PROGRAMS = "programs"

    @property
    def own(self) -> bool:
        """Returns whether this is the driver's, or there for the driver's sake."""
        return self in (Part.DRIVER, Part.HELPERS, Part.WRAPPERS)


_WRAPPERS = ("dma_map_page_attrs", "dma_unmap_page_attrs")


def part(function: Function) -> Part:
    """Returns what a function is a part of."""
    if function.module in DRIVERS:
        return Part.DRIVER
    if function == PROGRAM:
        return Part.PROGRAMS
    if function.module == "nvme_core":
        return Part.CORE
    if function.name.startswith("rust_helper_"):
        return Part.HELPERS
    return Part.WRAPPERS if function.name in _WRAPPERS else Part.KERNEL


@dataclass(frozen=True)
class Profile:
    """What an I/O costs with one driver."""

    instructions: float
    """The instructions of the whole guest, by QEMU's own count."""
    costs: dict[Function, Cost]
    """What each function costs for an I/O."""

    def sum(self, *parts: Part) -> float:
        """Returns the instructions of parts."""
        return sum(cost.instructions for function, cost in self.costs.items()
                   if part(function) in parts)

    @property
    def own(self) -> float:
        """Returns the instructions of the driver's own text: what it executes itself, and in
        what only it needs."""
        return self.sum(*(one for one in Part if one.own))
