# SPDX-License-Identifier: GPL-2.0
"""The guest's devices going to sleep, and waking up."""

import time

from machine import Machine


def suspend(machine: Machine) -> int:
    """Suspends all devices but the processors, to idle, and resumes them; returns the
    exit status of the command for it."""
    machine.run("echo devices > /sys/power/pm_test")
    times = machine.log.window().count("suspend exit")
    fall_asleep(machine, "echo freeze > /sys/power/state")
    status = wait_for_waking(machine, "suspend exit", times)
    machine.run("echo none > /sys/power/pm_test")
    return status


def fall_asleep(machine: Machine, command: str) -> None:
    """Starts a command that has all devices sleep."""
    # The guest agent's port does not survive it: take it away, and put it back.
    port = machine.run(
        "basename $(realpath /sys/bus/virtio/drivers/virtio_console/virtio*/..)"
    ).out.strip()
    machine.spawn(f"rm -f /run/slept; sleep 1; cd /sys/bus/pci/drivers/virtio-pci;"
                  f" echo {port} > unbind; {command}; echo $? > /run/slept;"
                  f" echo {port} > bind; killall qemu-ga")


def wait_for_waking(machine: Machine, message: str, times: int = 0) -> int:
    """Waits until the kernel says this once more, and its devices are back; returns the
    exit status of the command that had them sleep."""
    machine.wait_for(lambda: machine.log.window().count(message) > times,
                     "wake-up", 60)
    time.sleep(3)
    return int(machine.read("/run/slept"))
