# SPDX-License-Identifier: GPL-2.0
"""Behind an IOMMU: translated DMA, and VFs that vfio-pci takes."""

from collections.abc import Iterator

import pytest

from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.controllers import controllers
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio, fio_command
from subject.messages import said
from subject.pool import check_online, check_vfs_gone

pytestmark = pytest.mark.shape(Shape(cpus=2, controllers=2, iommu=True))


@pytest.fixture
def vfio(machine: Machine) -> None:
    """Loads vfio-pci."""
    machine.run("modprobe vfio-pci && modprobe vfio_iommu_type1")


@pytest.fixture
def autoprobe_off(pf: PhysicalFunction) -> Iterator[None]:
    """Turns off sriov_drivers_autoprobe for the test."""
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    yield
    if pf.machine.alive:
        assert pf.write("sriov_drivers_autoprobe", 1) == 0


def test_isolated(machine: Machine, pf: PhysicalFunction) -> None:
    """The driver does not warn of VFs that an IOMMU isolates."""
    with said(machine) as lines:
        assert pf.set_vfs(1) == 0
    assert lines and not any("isolated" in line for line in lines)


def test_two_controllers(machine: Machine, driver: Driver) -> None:
    functions = physical_functions(machine)
    assert len(functions) == 2
    disks = [disk(machine, function.live(), 1) for function in functions]
    fio(machine, *disks, rw="write", bsrange="512-256k", size="4m", iodepth=8)
    driver.unload()
    assert not controllers(machine)


@pytest.mark.usefixtures("autoprobe_off")
def test_without_driver(pf: PhysicalFunction) -> None:
    assert pf.set_vfs(4) == 0
    assert [vf.driver for vf in pf.vfs] == [""] * 4
    check_online(pf, 4)
    assert pf.set_vfs(0) == 0
    check_vfs_gone(pf)


@pytest.mark.usefixtures("vfio", "autoprobe_off")
def test_driver_override(machine: Machine, pf: PhysicalFunction) -> None:
    """An override binds although autoprobe is off."""
    assert pf.set_vfs(4) == 0
    for vf in pf.vfs:
        assert vf.write("driver_override", "vfio-pci") == 0
        machine.run(f"echo {vf.address} > /sys/bus/pci/drivers_probe")
    assert [vf.driver for vf in pf.vfs] == ["vfio-pci"] * 4
    check_online(pf, 4)
    assert pf.set_vfs(0) == 0
    check_vfs_gone(pf)


@pytest.mark.usefixtures("vfio")
def test_vfio_first(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """vfio-pci, registered before our driver, probes the VFs as they appear."""
    driver.unload()
    identity = " ".join(machine.read(f"{pf.sysfs}/{name}")
                        for name in ("vendor", "sriov_vf_device"))
    driver.load()
    pf.live()
    machine.run(f"echo {identity} > /sys/bus/pci/drivers/vfio-pci/new_id")
    try:
        assert pf.set_vfs(4) == 0
        assert [vf.driver for vf in pf.vfs] == ["vfio-pci"] * 4
        check_online(pf, 4)
        assert pf.set_vfs(0) == 0
        check_vfs_gone(pf)
    finally:
        machine.run(f"echo {identity} > /sys/bus/pci/drivers/vfio-pci/remove_id")


@pytest.mark.usefixtures("vfio")
def test_back_from_vfio(machine: Machine, driver: Driver,
                        pf: PhysicalFunction) -> None:
    """A VF works again after vfio-pci, which resets it."""
    assert pf.set_vfs(2) == 0
    vf = pf.vfs[0]
    vf.live()
    vf.unbind()
    assert vf.write("driver_override", "vfio-pci") == 0
    assert vf.bind("vfio-pci") == 0
    check_online(pf, 2)
    vf.unbind()
    assert vf.write("driver_override", "") == 0
    assert vf.bind(driver.name) == 0
    fio(machine, disk(machine, vf.live(), 1), size="1m")
    assert pf.set_vfs(0) == 0


@pytest.mark.usefixtures("vfio")
def test_user_space_driver(machine: Machine, pf: PhysicalFunction) -> None:
    """QEMU's driver in user space uses a VF while nvme_rs uses the other functions, before
    and after a reset of the PF."""
    nsid = FIRST_PRIVATE_NSID
    for number in range(3):
        assert pf.set(number, "namespaces", nsid + number) == 0
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    assert pf.set_vfs(3) == 0
    assert pf.write("sriov_drivers_autoprobe", 1) == 0
    guest, *ours = pf.vfs
    assert guest.write("driver_override", "vfio-pci") == 0
    for vf in pf.vfs:
        machine.run(f"echo {vf.address} > /sys/bus/pci/drivers_probe")
    assert guest.driver == "vfio-pci"
    disks = [disk(machine, vf.live(), nsid + number)
             for number, vf in enumerate(ours, 1)]

    def qemu_io(*commands: str, rc: int = 0) -> str:
        words = " ".join(f"-c '{command}'" for command in commands)
        result = machine.run(
            f"qemu-io -f raw {words} nvme://{guest.address}/{nsid}", 120, False)
        assert result.rc == rc, result
        return result.out

    process = machine.spawn(fio_command(*disks, size="8m"))
    qemu_io("write -P 0xa5 0 1M", "write -P 0x5a 1M 1M", "flush")
    machine.run(f"nvme reset {pf.device}")
    pf.live()
    check_online(pf, 3)
    shown = qemu_io("read -P 0xa5 0 1M", "read -P 0x5a 1M 1M",
                    "write -P 0x11 2M 64k", "read -P 0x11 2M 64k")
    assert "verification failed" not in shown and shown.count("64 KiB") == 2
    assert "verification failed" in qemu_io("read -P 0x22 2M 64k", rc=1)
    assert machine.finish(process, 120) == 0
    assert pf.set_vfs(0) == 0
    for number in range(3):
        assert pf.set(number, "namespaces", "") == 0


def test_power_off_with_vfs(machine: Machine, pf: PhysicalFunction) -> None:
    assert pf.set_vfs(4) == 0
    for vf in pf.vfs:
        vf.live()
    machine.spawn("poweroff -f")
    machine.wait_for_end()
    assert "reboot: Power down" in machine.log.window()
