# SPDX-License-Identifier: GPL-2.0
"""Power-off: controllers get a shutdown notification."""

from guest.machine import Machine
from guest.trace import traced
from subject.disks import disk
from subject.functions import PhysicalFunction
from subject.io import fio_command

_VFS = 2
_TOLD = "pci_nvme_mmio_shutdown_set"


def test_power_off(machine: Machine, pf: PhysicalFunction) -> None:
    """Each function gets a shutdown notification, although there is I/O."""
    assert pf.set_vfs(_VFS) == 0
    for vf in pf.vfs:
        vf.live()
    # QEMU must answer requests after the power-off.
    machine.qmp.cmd("set-action", shutdown="pause")
    with traced(machine, _TOLD) as told:
        machine.spawn(fio_command(disk(machine, pf.live(), 1), time_based=1,
                                  runtime=120))
        machine.spawn("sleep 1; poweroff -f")
        machine.wait_for_off(30)
    assert len(told) == 1 + _VFS, told
    machine.qmp.cmd("quit")
    machine.wait_for_end()
