# SPDX-License-Identifier: GPL-2.0
"""Accesses to a controller's attributes while the controller is removed and added."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from guest.log import faults
from guest.machine import Machine
from subject.controllers import controllers
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio

_GO = "/run/go"
_UNBALANCED = re.compile(
    r"cut here.*?WARNING: block/blk-mq\.c:\d+ at blk_mq_unquiesce_queue.*?end trace", re.DOTALL)
"""The kernel's warning when a scan finds a namespace while a reset has quiesced the queues
of the older disks: the reset then unquiesces all queues. It happens with any transport."""


@contextmanager
def repeated(machine: Machine, *commands: str) -> Iterator[None]:
    """Repeats each of some commands within the block, whether they succeed or not."""
    machine.run(f"touch {_GO}")
    processes = [
        machine.spawn(f"while [ -e {_GO} ]; do {command}; done > /dev/null 2>&1")
        for command in commands]
    yield
    machine.run(f"rm {_GO}")
    for process in processes:
        machine.finish(process)


def test_attributes_while_removed(machine: Machine, pf: PhysicalFunction) -> None:
    """Resets and rescans by sysfs race with a removal of the function from the bus and with
    its next probe."""
    folder = "/sys/class/nvme/nvme*"
    with repeated(machine,
                  f"for f in {folder}/reset_controller; do echo 1 > $f; done",
                  f"for f in {folder}/rescan_controller; do echo 1 > $f; done"):
        for _ in range(3):
            machine.run("sleep 0.5")
            assert pf.write("remove", 1) == 0
            assert not controllers(machine)
            machine.run("echo 1 > /sys/bus/pci/rescan")
            # Resets follow each other; in a slow guest the controller is hardly ever live.
            machine.wait_for(lambda: controllers(machine), "a controller")
    machine.sync_log()
    assert not faults(_UNBALANCED.sub("", machine.log.window()))
    machine.log.close_window()
    fio(machine, disk(machine, pf.live(), 1), size="512k")
