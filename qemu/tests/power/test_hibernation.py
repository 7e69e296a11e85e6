# SPDX-License-Identifier: GPL-2.0
"""Hibernation: the kernel writes its memory to a namespace and powers off, and the next
kernel reads it back."""

import pytest

from guest.machine import Machine
from guest.shape import Shape
from guest.trace import traced
from subject.disks import disk, private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio
from subject.sleep import fall_asleep, wait_for_waking

VFS = 2
MARK = "/run/mark"
"""A file in the memory of the first kernel."""
_TOLD = "pci_nvme_mmio_shutdown_set"


@pytest.mark.shape(Shape(cpus=2, namespaces=VFS, namespace_mib=512))
def test_hibernation(machine: Machine, pf: PhysicalFunction,
                     request: pytest.FixtureRequest) -> None:
    """The PF is frozen, thawed to write the image, powered off, frozen again by the next
    kernel, and restored. VFs that were enabled work again."""
    if "disk" not in machine.read("/sys/power/state").split():
        pytest.skip("this kernel has no CONFIG_HIBERNATION")
    driver = Driver(machine, request.config.getoption("driver"))
    swap = disk(machine, pf.live(), 1)
    assert pf.set_vfs(VFS) == 0
    disks = private_disks(machine, pf)
    fio(machine, *disks, size="1m")
    machine.run(f"mkswap {swap} && swapon {swap} && echo platform > /sys/power/disk"
                f" && echo here > {MARK}")

    # QEMU stays when the guest powers off, and ends when it resets.
    machine.qmp.cmd("set-action", shutdown="pause", reboot="reset")
    with traced(machine, _TOLD) as told:
        mark = fall_asleep(machine, "echo disk > /sys/power/state")
        machine.wait_for_off(180)
    assert "PM: Image saving done" in machine.log.window()
    # One shutdown to freeze, and one to power off.
    assert len(told) == 2 * (1 + VFS), told

    machine.qmp.cmd("system_reset")
    machine.qmp.cmd("cont")
    machine.wait_for_boot()
    assert machine.run(f"test -e {MARK}", check=False).rc
    driver.load()
    pf.live()
    number = machine.read(f"/sys/block/{swap.removeprefix('/dev/')}/dev")
    fall_asleep(machine, f"echo {number} > /sys/power/resume")
    # The first kernel continues behind the command that started the hibernation.
    assert wait_for_waking(machine, mark) == 0

    assert machine.read(MARK) == "here"
    machine.run(f"swapoff {swap}")
    assert pf.num_vfs == VFS
    for vf in pf.vfs:
        vf.live()
    fio(machine, swap, *disks, size="1m")
    assert pf.set_vfs(0) == 0
