# SPDX-License-Identifier: GPL-2.0
"""Simulated power states; QEMU's controllers have only one."""

from faults.rules import Faults

LOWEST = 4
"""The number of the lowest power state that have_power_states() simulates."""
_NPSS_OFFSET = 263
"""The offset of NPSS in Identify Controller."""


def have_power_states(faults: Faults) -> None:
    """Makes controllers that are identified from now on report several power states.
    QEMU's controller has one, and refuses to change it."""
    faults.command(
        f"data={LOWEST} at={_NPSS_OFFSET} size=1 opcode=6 dword10=1 count=1000")


def agree(faults: Faults) -> None:
    """Makes controllers accept every Set Features command for a power state."""
    faults.command("status=0 opcode=9 dword10=2 count=1000")
