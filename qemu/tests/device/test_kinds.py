# SPDX-License-Identifier: GPL-2.0
"""Honest controllers of kinds that QEMU does not have, one of each in a guest."""

import errno
from collections.abc import Callable, Iterator

import pytest

from faults.checks import check_works, said
from faults.commands import DOORBELL_BUFFER_CONFIG
from faults.programmed import CAP
from guest.device import Device, settings
from guest.machine import Machine
from guest.shape import Shape
from subject.attributes import write
from subject.controllers import interrupts
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio

(MSI, ONE_MESSAGE, PIN, STRIDE, SGL, BUFFER, SHADOW, POWER, CMB, LEGACY_CMB, BIG_PAGES,
 ONE_QUEUE, PM1725) = KINDS = (
    settings(serial="msi", msix=0, msi=4),
    settings(serial="one-message", msix=0, msi=1),
    settings(serial="pin", msix=0),
    settings(serial="stride", stride=4),
    settings(serial="sgl", sgls=1),
    settings(serial="buffer", hmb_preferred=1024, hmb_minimum=16),
    settings(serial="shadow", shadow_doorbells=True),
    settings(serial="power", power_states=4, autonomous_power=True),
    settings(serial="cmb", cmb_mib=4),
    settings(serial="legacy-cmb", cmb_mib=4, legacy_cmb=True, version=0x10300),
    settings(serial="big-pages", page_min=1, page_max=1),
    settings(serial="one-queue", queues=1),
    settings(serial="pm1725", vendor=0x144d, device=0xa821),
)
pytestmark = pytest.mark.shape(
    Shape(cpus=2, vfs=0, namespaces=0, io_queues=2, devices=KINDS))
Find = Callable[[str], tuple[Device, PhysicalFunction]]


@pytest.fixture
def find(machine: Machine, driver: Driver) -> Iterator[Find]:
    """Yields what binds the controller of a kind, and returns it with its function. At the end
    it has been unbound, and nothing that the driver did was wrong."""
    used: list[tuple[Device, PhysicalFunction]] = []

    def bound(kind: str) -> tuple[Device, PhysicalFunction]:
        device, function = located(machine, KINDS.index(kind))
        leave(device, function)
        device.make_sane()
        used.append((device, function))
        assert function.bind(driver.name) == 0
        function.probed()
        return device, function
    yield bound
    if machine.alive:
        for device, function in used:
            leave(device, function)


def located(machine: Machine, index: int) -> tuple[Device, PhysicalFunction]:
    """Returns one of the controllers, and its function."""
    functions = physical_functions(machine)[machine.shape.controllers:]
    return machine.devices[index], functions[index]


def leave(device: Device, function: PhysicalFunction) -> None:
    """Unbinds a function, if it is bound, and checks that nothing was wrong."""
    if function.driver:
        function.unbind()
    assert device.violations() == []


def check_through_resets(machine: Machine, device: Device, function: PhysicalFunction,
                         io_queues: int = 2) -> None:
    """Checks I/O before and after resets of the controller and of the function."""
    check_works(machine, function, io_queues)
    machine.run(f"nvme reset /dev/{function.live().name}")
    check_works(machine, function, io_queues)
    assert function.write("reset", 1) == 0
    check_works(machine, function, io_queues)
    assert device.count("enables") == 3


@pytest.mark.parametrize("kind, uses", [(MSI, "Msi"), (ONE_MESSAGE, "Msi"), (PIN, "Pin")],
                         ids=["msi", "one-message", "pin"])
def test_interrupts(machine: Machine, find: Find, kind: str, uses: str) -> None:
    """Without MSI-X, the driver takes MSI, or else the pin."""
    device, function = find(kind)
    assert device.state()["interrupts"] == uses
    io_queues = function.live().io_queues
    check_through_resets(machine, device, function, io_queues)
    assert device.count("interrupts") > 0
    assert sum(interrupts(machine, function.live()).values()) > 0


def test_stride(machine: Machine, find: Find) -> None:
    """Doorbells are 64 bytes apart."""
    check_through_resets(machine, *find(STRIDE))


def test_sgl(machine: Machine, driver: Driver, find: Find) -> None:
    """Data is described by SGLs, with segments of any length."""
    device, function = find(SGL)
    threshold = f"/sys/module/{driver.name}/parameters/sgl_threshold"
    before = machine.read(threshold)
    assert write(machine, threshold, 1) == 0
    try:
        check_through_resets(machine, device, function)
        for size in "512", "128k":
            fio(machine, disk(machine, function.live(), 1), bs=size, size="1m")
    finally:
        write(machine, threshold, before)
    assert device.count("sgl_commands") > 0


def test_host_memory_buffer(machine: Machine, find: Find) -> None:
    """The controller writes the buffer and reads it back, as long as it has it."""
    device, function = find(BUFFER)
    assert device.state()["hmb_pages"] == 1024
    check_through_resets(machine, device, function)
    machine.wait_for(lambda: device.count("hmb_pages") > 1000, "use of the buffer")
    function.unbind()
    assert device.state()["hmb_pages"] == 0
    find(BUFFER)


def test_shadow_doorbells(machine: Machine, find: Find) -> None:
    """The controller looks at shadows of doorbells when it likes, and at no doorbell."""
    device, function = find(SHADOW)
    assert device.state()["shadow_doorbells"]
    rung = device.count("doorbells")
    fio(machine, disk(machine, function.live(), 1), size="512k")
    assert device.count("shadows_obeyed") > 20
    # Those of the admin queue have no shadows.
    assert device.count("doorbells") - rung < 50
    check_through_resets(machine, device, function)


def test_refused_shadow_doorbells(machine: Machine, find: Find) -> None:
    """A controller that refuses Doorbell Buffer Config gets a doorbell for each command."""
    device, function = find(SHADOW)
    device.add({"refuse": 0x02}, queue="admin", opcode=DOORBELL_BUFFER_CONFIG)
    machine.run(f"nvme reset /dev/{function.live().name}")
    check_works(machine, function)
    assert said(machine, "shadow doorbells cannot be used") == 1
    assert not device.state()["shadow_doorbells"]


def test_power_states(machine: Machine, find: Find) -> None:
    """nvme-core lets the controller change its power state by itself."""
    device, function = find(POWER)
    name = function.live().name
    said = machine.run(f"nvme get-feature /dev/{name} --feature-id=0xc --human-readable").out
    assert "Enabled" in said
    check_through_resets(machine, device, function)


@pytest.mark.parametrize("kind", [CMB, LEGACY_CMB], ids=["cmb", "legacy"])
def test_controller_memory_buffer(machine: Machine, find: Find, kind: str) -> None:
    """Submission queues are in the controller's memory, which the host places if it can."""
    device, function = find(kind)
    assert device.state()["queues_in_buffer"] == 2
    check_through_resets(machine, device, function)
    assert device.state()["queues_in_buffer"] == 2


def test_pages_that_the_host_does_not_have(machine: Machine, driver: Driver) -> None:
    """The smallest page of the controller is larger than one of the host."""
    index = KINDS.index(BIG_PAGES)
    device, function = located(machine, index)
    if function.driver:
        function.unbind()
    device.make_sane()
    assert function.bind(driver.name) == errno.ENODEV
    assert said(machine, "page size 8192 too large")
    assert device.violations() == []


def test_broken_msi(machine: Machine, driver: Driver, find: Find) -> None:
    """A controller whose MSI does not work, by a quirk, gets the pin."""
    driver.unload()
    driver.load("quirks=1b36:0010:broken_msi")
    try:
        device, function = find(MSI)
        assert device.state()["interrupts"] == "Pin"
        check_through_resets(machine, device, function, 1)
    finally:
        driver.unload()
        driver.load()


def test_pm1725(machine: Machine, driver: Driver) -> None:
    """A PM1725 takes 64 entries, whatever it says: its CAP.MQES is 0."""
    device, function = located(machine, KINDS.index(PM1725))
    if function.driver:
        function.unbind()
    device.make_sane()
    device.add({"bits": {"clear": 0xffff}}, register=CAP)
    assert function.bind(driver.name) == 0
    assert machine.read(f"/sys/class/nvme/{function.live().name}/sqsize") == "63"
    check_works(machine, function)
    leave(device, function)


def test_one_queue(machine: Machine, find: Find) -> None:
    """The CPUs share a queue."""
    device, function = find(ONE_QUEUE)
    check_through_resets(machine, device, function, 1)
