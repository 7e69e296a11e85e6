# SPDX-License-Identifier: GPL-2.0
"""The guest's devices going to sleep, and waking up."""

import time

from machine import Machine


def suspend(machine: Machine) -> int:
    """Suspends all devices but the processors, to idle, and resumes them; returns the
    exit status of the command for it."""
    machine.run("echo devices > /sys/power/pm_test; rm -f /run/slept")
    times = machine.log.window().count("suspend exit")
    # The guest agent's port does not survive it: take it away, and put it back.
    port = machine.run(
        "basename $(realpath /sys/bus/virtio/drivers/virtio_console/virtio*/..)"
    ).out.strip()
    machine.spawn(f"sleep 1; cd /sys/bus/pci/drivers/virtio-pci; echo {port} > unbind;"
                  " echo freeze > /sys/power/state; echo $? > /run/slept;"
                  f" echo {port} > bind; killall qemu-ga")
    machine.wait_for(lambda: machine.log.window().count("suspend exit") > times,
                     "wake-up", 60)
    time.sleep(3)
    machine.run("echo none > /sys/power/pm_test")
    return int(machine.read("/run/slept"))
