# SPDX-License-Identifier: GPL-2.0
"""Asking a guest in which something went wrong."""

from collections.abc import Callable

from guest.errors import MachineError
from guest.machine import Machine


def inquire(machine: Machine, say: Callable[[str], None]) -> None:
    """Has the log tell what there is, and what every task waits for."""
    if machine.alive:
        try:
            machine.run("""
                { ls -l /dev/nvme* /sys/class/nvme/*/ /sys/block
                  grep . /sys/class/nvme/*/state /sys/class/nvme/*/*/ana_state
                  cat /proc/interrupts; ps; } > /dev/ttyS0 2>&1
                echo w > /proc/sysrq-trigger; sleep 2""")
        except MachineError as error:
            say(f"the guest does not tell what is wrong: {error}")
