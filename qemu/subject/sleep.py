# SPDX-License-Identifier: GPL-2.0
"""Sleep and wake-up of the guest's devices."""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from guest.machine import Machine

_POLICY = "/sys/module/pcie_aspm/parameters/policy"
"""The policy of ASPM."""
_marks = itertools.count(1)


def set_link_policy(machine: Machine, policy: str) -> None:
    """Sets ASPM's policy."""
    machine.run(f"echo {policy} > {_POLICY}")


@contextmanager
def link_saves_power(machine: Machine) -> Iterator[None]:
    """Enables ASPM within the block; controllers sleep in D0 only with it."""
    before = re.findall(r"\[(\w+)\]", machine.read(_POLICY))[0]
    set_link_policy(machine, "powersave")
    yield
    if machine.alive:
        set_link_policy(machine, before)


def suspend(machine: Machine) -> int:
    """Suspends all devices except the CPUs (suspend to idle), and resumes them. Returns the
    exit status of the command."""
    machine.run("echo devices > /sys/power/pm_test")
    status = wait_for_waking(
        machine, fall_asleep(machine, "echo freeze > /sys/power/state"))
    machine.run("echo none > /sys/power/pm_test")
    return status


def fall_asleep(machine: Machine, command: str) -> str:
    """Starts a command that suspends all devices, and returns the mark that the log will
    have when they are resumed."""
    mark = f"sleep: mark {next(_marks)}"
    # The guest agent's port does not survive a suspend, so it is unbound before and bound
    # again afterwards. The old agent could take the requests for the new one, so it is
    # killed: its handler of SIGTERM may deadlock on a lock that its main loop holds.
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
    returns the exit status of the command that suspended them."""
    machine.wait_for(lambda: mark in machine.log.window(), "wake-up", 180)
    return int(machine.read("/run/slept"))
