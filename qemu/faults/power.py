# SPDX-License-Identifier: GPL-2.0
"""Power states, which QEMU's controllers do not have, made up."""

from faults.rules import Faults

LOWEST = 4
"""The number of the lowest power state that have_power_states() makes up."""
_NPSS_OFFSET = 263
"""Where Identify Controller has it."""


def have_power_states(faults: Faults) -> None:
    """Has controllers that are identified from now on have several power states. QEMU's
    has one, and refuses to change it."""
    faults.command(
        f"data={LOWEST} at={_NPSS_OFFSET} size=1 opcode=6 dword10=1 count=1000")


def agree(faults: Faults) -> None:
    """Has controllers agree to whatever power state they are to be in."""
    faults.command("status=0 opcode=9 dword10=2 count=1000")
