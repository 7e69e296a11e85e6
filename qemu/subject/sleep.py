# SPDX-License-Identifier: GPL-2.0
"""The guest's devices going to sleep, and waking up."""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from guest.machine import Machine

_POLICY = "/sys/module/pcie_aspm/parameters/policy"
"""Which links save power."""
_marks = itertools.count(1)


def set_link_policy(machine: Machine, policy: str) -> None:
    """Sets how much power links save."""
    machine.run(f"echo {policy} > {_POLICY}")


@contextmanager
def link_saves_power(machine: Machine) -> Iterator[None]:
    """Has links save power for a while, as they must for controllers to sleep in D0."""
    before = re.findall(r"\[(\w+)\]", machine.read(_POLICY))[0]
    set_link_policy(machine, "powersave")
    yield
    if machine.alive:
        set_link_policy(machine, before)


def suspend(machine: Machine) -> int:
    """Suspends all devices but the processors, to idle, and resumes them; returns the
    exit status of the command for it."""
    machine.run("echo devices > /sys/power/pm_test")
    status = wait_for_waking(
        machine, fall_asleep(machine, "echo freeze > /sys/power/state"))
    machine.run("echo none > /sys/power/pm_test")
    return status


def fall_asleep(machine: Machine, command: str) -> str:
    """Starts a command that has all devices sleep, and returns what the log says after
    it, when they are back."""
    mark = f"sleep: mark {next(_marks)}"
    # The guest agent's port does not survive it: take it away, and put it back. An agent
    # that is still there from before could swallow what the next one is asked; and it may
    # hang in its handler of SIGTERM, which takes a lock that the main loop takes, too.
    port = machine.run(
        "basename $(realpath /sys/bus/virtio/drivers/virtio_console/virtio*/..)"
    ).out.strip()
    machine.spawn(f"rm -f /run/slept; sleep 1; cd /sys/bus/pci/drivers/virtio-pci;"
                  f" echo {port} > unbind; {command}; echo $? > /run/slept;"
                  f" echo {port} > bind; agent=$(pidof qemu-ga); kill -9 $agent;"
                  f" while kill -0 $agent; do sleep 0.05; done; echo {mark} > /dev/kmsg")
    return mark


def wait_for_waking(machine: Machine, mark: str) -> int:
    """Waits until the devices are back after a fall_asleep(), which returned ``mark``;
    returns the exit status of the command that had them sleep."""
    machine.wait_for(lambda: mark in machine.log.window(), "wake-up", 180)
    return int(machine.read("/run/slept"))
