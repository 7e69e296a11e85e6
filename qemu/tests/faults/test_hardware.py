# SPDX-License-Identifier: GPL-2.0
"""Limited or failing hardware that QEMU emulates: few interrupts, ports that fail."""

import pytest

from faults.checks import ADMIN_LIMIT, check_works, said, within
from faults.port import cut_off
from guest.machine import Machine
from guest.shape import Shape
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio, fio_command


@pytest.mark.shape(Shape(vfs=0))
def test_intx(machine: Machine, driver: Driver, function: PhysicalFunction) -> None:
    """Without MSI-X and MSI, all queues share the interrupt line."""
    function.unbind()
    assert function.write("msi_bus", 0) == 0
    assert function.bind(driver.name) == 0
    check_works(machine, function, 1)
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function, 1)
    assert "IO-APIC" in machine.run(
        f"grep {function.live().name}q /proc/interrupts").out
    function.unbind()
    assert function.write("msi_bus", 1) == 0
    assert function.bind(driver.name) == 0
    check_works(machine, function)


@pytest.mark.shape(Shape(cpus=1, vfs=0))
def test_other_interrupts_after_a_reset(machine: Machine,
                                        function: PhysicalFunction) -> None:
    """A reset gives the same number of queues other interrupts; requests still complete."""
    check_works(machine, function, 1)
    for allowed in 0, 1:
        assert function.write("msi_bus", allowed) == 0
        machine.run(f"nvme reset {function.device}")
        check_works(machine, function, 1)
        lines = machine.run(f"grep {function.live().name}q /proc/interrupts").out
        assert ("IO-APIC" in lines) != allowed, lines
    assert not said(machine, "no answer")


@pytest.mark.shape(Shape(vfs=0))
@pytest.mark.parametrize("properties, io_queues", [
    ("max_ioqpairs=32,msix_qsize=33,mdts=1", 4),
    ("max_ioqpairs=2,msix_qsize=33", 2),
    ("max_ioqpairs=32,msix_qsize=3", 2),
    ("max_ioqpairs=32,msix_qsize=2", 1),
    ("max_ioqpairs=32,msix_qsize=1", 1),
])
def test_small_controller(machine: Machine, driver: Driver, limits: None,
                          properties: str, io_queues: int) -> None:
    """A controller with few queues, few interrupts and small transfers works."""
    replace(machine, properties)
    function, = physical_functions(machine)
    check_works(machine, function, io_queues)
    fio(machine, disk(machine, function.live(), 1), bs="256k", size="2m")
    machine.run(f"nvme reset {function.device}")
    check_works(machine, function, io_queues)


def replace(machine: Machine, properties: str) -> None:
    """Unplugs the controller, and plugs another one in."""
    for function in physical_functions(machine):
        machine.qmp.cmd("device_del", id="nvme0")
        machine.wait_for(
            lambda: machine.run(f"test -e {function.sysfs}", check=False).rc,
            "end of the function", 60)
    machine.wait_for_ejection()
    assert not machine.hmp("device_add nvme,id=nvme0,serial=nvme-rs-0,"
                           f"subsys=subsystem0,bus=port0,{properties}").strip()
    machine.wait_for(lambda: physical_functions(machine), "the new function", 60)


@pytest.mark.parametrize("moment", ["under I/O", "in a reset", "as VFs come"])
def test_cut_off(machine: Machine, function: PhysicalFunction,
                 moment: str) -> None:
    """The port above stops forwarding memory and configuration accesses."""
    controller = function.live()
    device = disk(machine, controller, 1)
    process = {
        "under I/O": lambda: machine.spawn(
            fio_command(device, time_based=1, runtime=60)),
        "in a reset": lambda: machine.spawn(
            f"while nvme reset /dev/{controller.name}; do true; done; false"),
        "as VFs come": lambda: machine.spawn(
            f"while echo 8 > {function.sysfs}/sriov_numvfs &&"
            f" echo 0 > {function.sysfs}/sriov_numvfs; do true; done; false"),
    }[moment]()
    machine.run("sleep 3")
    with cut_off(machine, function), within(machine, 12 * ADMIN_LIMIT):
        assert machine.finish(process, 12 * ADMIN_LIMIT) != 0
        assert function.write("remove", 1) == 0
    # The PCI core has read wrong values meanwhile, so the function is removed and found.
    machine.run("echo 1 > /sys/bus/pci/rescan")
    check_works(machine, function)
    assert function.set_vfs(2) == 0
    for vf in function.vfs:
        vf.live()
    assert function.set_vfs(0) == 0


# Not while VFs are being enabled: the kernel's sriov_numvfs_store() takes the device lock
# and then the rescan lock, and its hot-unplug takes them in the other order.
def test_unplugged_in_a_reset(machine: Machine,
                              function: PhysicalFunction) -> None:
    process = machine.spawn(
        f"while nvme reset {function.device}; do true; done; false")
    machine.run("sleep 3")
    shape = machine.shape
    replace(machine, f"max_ioqpairs={shape.io_queues},"
            f"msix_qsize={shape.io_queues + 1},sriov_max_vfs={shape.vfs},"
            f"sriov_vq_flexible={shape.vq_flexible},"
            f"sriov_vi_flexible={shape.vi_flexible},"
            f"sriov_max_vq_per_vf={shape.vf_limit},"
            f"sriov_max_vi_per_vf={shape.vf_limit}")
    assert machine.finish(process) != 0
    function, = physical_functions(machine)
    check_works(machine, function)
    assert function.set_vfs(2) == 0
    for vf in function.vfs:
        vf.live()
    assert function.set_vfs(0) == 0
