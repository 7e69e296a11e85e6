# SPDX-License-Identifier: GPL-2.0
"""Controllers behind an IOMMU, which remaps their interrupts and refuses what nobody mapped."""

import pytest

from faults.checks import check_works
from guest.architecture import ARCHITECTURE
from guest.device import settings
from guest.machine import Machine
from guest.shape import Shape
from subject.controllers import interrupts
from subject.disks import disk
from subject.driver import Driver
from subject.functions import physical_functions
from subject.io import fio

_KERNEL = 16 << 20
"""Where the guest's kernel is. No buffer of a device is mapped there."""

pytestmark = [
    pytest.mark.shape(
        Shape(cpus=2, vfs=0, namespaces=0, io_queues=2, iommu=True, devices=(
            settings(serial="msi", msix=0, msi=4), settings(serial="msix")))),
    pytest.mark.skipif(not ARCHITECTURE.notifies,
                       reason="QEMU's IOMMU has no such controllers behind it"),
]


def test_several_messages(machine: Machine, driver: Driver) -> None:
    """An MSI message for each queue, which the kernel grants where they are remapped."""
    device, function = machine.devices[0], physical_functions(machine)[1]
    check_works(machine, function)
    assert device.state()["interrupts"] == "Msi"
    counts = interrupts(machine, function.live())
    assert len(counts) == 3 and min(counts.values()) > 0
    machine.run(f"nvme reset /dev/{function.live().name}")
    check_works(machine, function)
    assert device.violations() == []


def test_stray_writes(machine: Machine, driver: Driver) -> None:
    """What a controller writes to memory that is not its own does not arrive."""
    device, function = machine.devices[1], physical_functions(machine)[2]
    device.add({"stray": _KERNEL}, queue="io")
    fio(machine, disk(machine, function.live(), 1), size="512k")
    assert device.count("stray_faults") == device.met() > 0
    assert device.count("stray_writes") == 0
    device.clear()
    check_works(machine, function)
    assert device.violations() == []
