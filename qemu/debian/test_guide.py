# SPDX-License-Identifier: GPL-2.0
"""The walk-throughs of the administrator's guide, with the commands that it shows."""

from collections.abc import Callable, Iterator

import pytest

from guest.errors import Timeout
from guest.image import MODULE_IN_GUEST
from guest.machine import Machine
from guest.shape import Shape
from guide.document import Block, document
from guide.vm import VirtualMachine
from guide.walk import Walk
from subject.disks import disk
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio

GUIDE = document("admin-guide.rst")
WALKS = ("all", "one", "boot", "rules", "unboot", "vfs", "settings", "machine", "driverctl",
         "driverctl-again", "driverctl-back", "libvirt", "libvirt-xml", "program", "quirks")
"""The walk-throughs that the tests below go."""
NSID = 9
"""The namespace that the guide gives to a VF."""
pytestmark = pytest.mark.shape(Shape(cpus=2, namespaces=10, debian=True, iommu=True))


def walk(name: str) -> list[Block]:
    """Returns the blocks of a walk-through."""
    return [block for block in GUIDE if name in block.walks]


def test_complete() -> None:
    """Each block of the guide is run, or has a reason why not; each walk-through has a test."""
    unmarked = [block.line for block in GUIDE if not block.walks and not block.reason]
    assert not unmarked, "blocks at these lines have no mark"
    assert {name for block in GUIDE for name in block.walks} == set(WALKS)


@pytest.fixture
def booted(machine: Machine) -> Iterator[PhysicalFunction]:
    """Yields the physical function of a machine as it boots: the in-tree driver has it."""
    pf = physical_functions(machine)[0]
    assert pf.driver == "nvme"
    yield pf
    if machine.alive:
        machine.run("! test -d /sys/module/nvme_rs || rmmod nvme_rs")
        machine.run("! test -d /sys/bus/pci/drivers/vfio-pci || modprobe -r vfio-pci")
        machine.run(f"cd {pf.sysfs}; echo > driver_override; echo 1 > sriov_drivers_autoprobe"
                    f"; modprobe nvme; echo {pf.address} > /sys/bus/pci/drivers_probe")
        pf.live()


@pytest.fixture
def loaded(machine: Machine, booted: PhysicalFunction) -> PhysicalFunction:
    """Returns the physical function with nvme-rs."""
    machine.run(f"rmmod nvme && insmod {MODULE_IN_GUEST}")
    booted.live()
    return booted


def check_io(machine: Machine, pf: PhysicalFunction, driver: str) -> None:
    """Verifies I/O by the driver that a function should have."""
    live = pf.live()
    assert pf.driver == driver
    fio(machine, disk(machine, live, 1), size="1m")


def test_all(machine: Machine, booted: PhysicalFunction) -> None:
    """From the in-tree driver and back, with all devices."""
    there, back = walk("all")
    shell = Walk(machine)
    shell.go(there)
    check_io(machine, booted, "nvme_rs")
    assert booted.set_vfs(2) == 0
    shell.go(back)
    check_io(machine, booted, "nvme")
    assert not booted.vfs


def test_one(machine: Machine, booted: PhysicalFunction) -> None:
    """From the in-tree driver and back, with one device and one VF."""
    there, vf, back = walk("one")
    shell = Walk(machine)
    shell.go(there)
    check_io(machine, booted, "nvme_rs")
    shell.go(vf)
    booted.vfs[0].live()
    shell.go(back)
    check_io(machine, booted, "nvme")


def test_override_is_not_inherited(machine: Machine, booted: PhysicalFunction) -> None:
    """VFs of a chosen device go to the in-tree driver, as the guide says."""
    Walk(machine).go(walk("one")[0])
    booted.live()
    assert booted.set_vfs(1) == 0
    booted.vfs[0].live()
    assert booted.vfs[0].driver == "nvme"


def test_vfs(machine: Machine, loaded: PhysicalFunction) -> None:
    shell = Walk(machine)
    for block in walk("vfs"):
        shell.go(block)
    for vf in loaded.vfs:
        vf.live()


def test_settings(machine: Machine, loaded: PhysicalFunction) -> None:
    shell = Walk(machine)
    first, second = walk("settings")
    shell.go(first)
    for vf in loaded.vfs:
        vf.live()
    shell.go(second)
    loaded.vfs[0].live()
    assert loaded.resources()[0] == (2, 2)


def test_quirks(machine: Machine, booted: PhysicalFunction) -> None:
    machine.run("rmmod nvme")
    Walk(machine).go(*walk("quirks"))
    check_io(machine, booted, "nvme_rs")


def test_machine(machine: Machine, loaded: PhysicalFunction) -> None:
    """A virtual machine writes to its VF, survives a reset of the physical function, and
    blocks the end of the VFs."""
    guest = VirtualMachine(machine, NSID)
    shell = Walk(machine, {"...": guest.options})
    for block in walk("machine"):
        shell.go(block)
    guest.wait_for_reads(2)
    machine.run(f"nvme reset {loaded.device}")
    reads = guest.wait_for_reads(3)
    assert 60 < max(b - a for a, b in zip(reads, reads[1:])) < 75, reads

    end = machine.spawn(f"echo 0 > {loaded.sysfs}/sriov_numvfs")
    guest.wait_for_reads(1)
    read = machine.spawn(f"cat {loaded.sysfs}/sriov_numvfs")
    guest.wait_for_reads(2)
    for waiting in (end, read):
        with pytest.raises(Timeout):
            machine.finish(waiting, 1)
    assert "Relaying device request to user" in machine.log.window()
    guest.end()
    assert machine.finish(end) == 0
    assert machine.finish(read) == 0
    assert not loaded.vfs

    # What it has written is there.
    assert loaded.write("sriov_drivers_autoprobe", 1) == 0
    assert loaded.set_vfs(4) == 0
    written = disk(machine, loaded.vfs[0].live(), NSID)
    assert machine.run(f"head -c 8 {written}").out == "vm: mark"


def vfio_takes(machine: Machine, pf: PhysicalFunction) -> bool:
    """Returns whether vfio-pci takes a VF that is enabled and that has no override."""
    assert pf.set_vfs(0) == 0
    assert pf.write("sriov_drivers_autoprobe", 1) == 0
    assert pf.set_vfs(2) == 0
    vf = pf.vfs[1]
    machine.wait_for(lambda: vf.driver, "driver of the VF")
    return vf.driver == "vfio-pci"


def test_driverctl(machine: Machine, loaded: PhysicalFunction) -> None:
    """An override, and its trap: without the cure vfio-pci has all further VFs."""
    shell = Walk(machine)
    give, override, cure = walk("driverctl")
    shell.go(give)
    shell.go(override)
    assert [vf.driver for vf in loaded.vfs] == ["vfio-pci", "", "", ""]
    trap = vfio_takes(machine, loaded)
    unit = f"driverctl@pci-{loaded.vfs[0].address}.service"
    machine.wait_for(lambda: not machine.run(f"systemctl is-active {unit}", check=False).rc,
                     "the override when the VF appears")
    shell.go(cure)
    cured = not vfio_takes(machine, loaded)
    assert (trap, cured) == (True, True)
    # udev's rule has no effect a second time. What has, brings the ids back.
    loaded.vfs[0].live()
    shell.go(*walk("driverctl-again"))
    assert loaded.vfs[0].driver == "vfio-pci"
    shell.go(*walk("driverctl-back"))
    loaded.vfs[0].live()
    assert not vfio_takes(machine, loaded)


DOMAIN = """
<domain type="qemu">
  <name>vm</name>
  <memory unit="MiB">256</memory>
  <os><type arch="x86_64" machine="q35">hvm</type><kernel>{kernel}</kernel>
    <initrd>{initramfs}</initrd><cmdline>console=ttyS0</cmdline></os>
  <devices>{devices}</devices>
</domain>
"""


def test_libvirt(machine: Machine, loaded: PhysicalFunction) -> None:
    """libvirt gives a VF to a machine, and takes it back."""
    guest = VirtualMachine(machine, NSID)
    shell = Walk(machine)
    give, *by_hand = walk("libvirt")
    shell.go(give)
    for block in by_hand:
        shell.go(block)
    (xml,) = walk("libvirt-xml")
    machine.put("/root/vm.xml", DOMAIN.format(
        kernel=guest.kernel, initramfs=guest.initramfs, devices=xml.text).encode())
    machine.run("virsh create /root/vm.xml", 120)
    assert [vf.driver for vf in loaded.vfs] == ["vfio-pci", "", "", ""]
    machine.run("virsh destroy vm")
    assert [vf.driver for vf in loaded.vfs] == ["", "", "", ""]


def test_program(machine: Machine, loaded: PhysicalFunction) -> None:
    """A program with a driver of its own."""
    shell = Walk(machine)
    for block in walk("program"):
        shell.go(block)


@pytest.fixture
def reboot(machine: Machine) -> Callable[[], None]:
    """Returns what boots the machine again."""
    def again() -> None:
        def begun() -> int:
            return machine.log.all().count("Loading, please wait")
        machine.qmp.cmd("set-action", reboot="reset")
        before = begun()
        machine.spawn("sync; systemctl reboot")
        # A request to the agent would get no answer before.
        machine.wait_for(lambda: begun() > before, "the next boot", 240)
        machine.wait_for_boot()
    return again


def test_boot(machine: Machine, booted: PhysicalFunction, reboot: Callable[[], None]) -> None:
    """What holds from one boot to the next, and how it ends."""
    shell = Walk(machine)
    for block in walk("boot"):
        shell.go(block)
    # QEMU loads the kernel and another initrd by itself.
    inside = machine.run("lsinitramfs /boot/initrd.img-$(uname -r)").out.split()
    assert any(path.endswith("updates/nvme_rs.ko") for path in inside)
    assert "etc/modprobe.d/nvme-rs.conf" in inside
    reboot()
    check_io(machine, booted, "nvme_rs")
    assert len(booted.vfs) == 2

    (rules,) = walk("rules")
    machine.put("/etc/udev/rules.d/90-nvme-rs.rules", f"{rules.text}\n".encode())
    machine.run("sed -i /sriov_vfs/d /etc/modprobe.d/nvme-rs.conf")
    reboot()
    machine.wait_for(lambda: len(booted.vfs) == 2, "VFs")
    disk(machine, booted.vfs[0].live(), NSID)

    for block in walk("unboot"):
        shell.go(block)
    assert "nvme_rs" not in machine.run("lsinitramfs /boot/initrd.img-$(uname -r)").out
    reboot()
    check_io(machine, booted, "nvme")
