# SPDX-License-Identifier: GPL-2.0
"""nvme-core's trace events that a transport emits."""

import re

import pytest

from guest.machine import Machine
from subject.controllers import controllers
from subject.disks import disk
from subject.driver import Driver
from subject.tracing import kernel_traced

DEPTH = 12
"""Entries of a queue."""
COMMANDS = 3 * DEPTH


@pytest.mark.parametrize("name", ["nvme_rs", "nvme"])
def test_submission_queue(machine: Machine, unloaded: Driver, name: str) -> None:
    """nvme_sq has, for each completion, the submission queue's head and tail. With one
    command at a time, both are behind that command."""
    driver = Driver(machine, name)
    driver.load(f"io_queue_depth={DEPTH}")
    controller, = controllers(machine).values()
    device = disk(machine, controller, 1)
    with kernel_traced(machine, "nvme/nvme_sq") as traced:
        machine.run(f"taskset -c 1 dd if={device} of=/dev/null bs=4k count={COMMANDS}"
                    " iflag=direct")
    lines = re.findall(
        rf"nvme_sq: {controller.name}: disk=(\w+), qid=(\d+), head=(\d+), tail=(\d+)",
        "\n".join(traced))
    driver.unload()

    assert len({line[:2] for line in lines}) == 1
    assert lines[0][0].startswith(controller.name)
    tails = [int(tail) for *_, tail in lines]
    assert [int(head) for *_, head, _ in lines] == tails
    first = tails[0]
    assert tails == [(first + i) % DEPTH for i in range(COMMANDS)]
