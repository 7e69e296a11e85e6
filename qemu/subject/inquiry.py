# SPDX-License-Identifier: GPL-2.0
"""Collects the state of a guest in which something went wrong."""

from collections.abc import Callable

from guest.errors import MachineError
from guest.machine import Machine


def inquire(machine: Machine, say: Callable[[str], None]) -> None:
    """Writes devices, states, interrupts, and the stacks of blocked tasks to the log."""
    if machine.alive:
        try:
            machine.run("""
                { ls -l /dev/nvme* /sys/class/nvme/*/ /sys/block
                  grep . /sys/class/nvme/*/state /sys/class/nvme/*/*/ana_state
                  cat /proc/interrupts; ps; } > /dev/console 2>&1
                echo w > /proc/sysrq-trigger; sleep 2""")
        except MachineError as error:
            say(f"the guest does not tell what is wrong: {error}")
