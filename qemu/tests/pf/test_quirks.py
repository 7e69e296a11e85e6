# SPDX-License-Identifier: GPL-2.0
"""Quirks: the quirks of each controller, and what the driver does about them, compared
with the kernel's own driver.

The parameter ``quirks`` gives any quirk to QEMU's controller.
"""

import errno
import re
import subprocess
from pathlib import Path

import pytest

from faults.checks import now
from guest.image import MODULE
from guest.kernel import Kernel
from guest.machine import Machine
from guest.shape import Shape
from guest.trace import traced
from project import TOP
from subject.attributes import write
from subject.controllers import Controller, controllers
from subject.disks import disk
from subject.driver import Driver
from subject.functions import Function, physical_functions
from subject.io import fio
from subject.messages import said

OURS = "nvme_rs"
BOTH = OURS, "nvme"
QEMU = "1b36:0010"
BRIDGE, BRIDGE_ADDRESS = "8086 2918", "0000:00:1f.0"
"""The machine's ISA bridge: its PCI ids and its address."""
OURS_ALONE: dict[tuple[int, int], set[str]] = {}
"""Devices whose quirks the kernel's own driver does not have, by vendor and device id."""
IO_LIMIT = 2
"""Seconds until an I/O command times out, where some do."""



def aliases(module: Path) -> set[str]:
    """Returns the devices for which user space loads a module."""
    return set(subprocess.run(["modinfo", "-F", "alias", module], check=True,
                              capture_output=True, text=True).stdout.split())


def test_devices() -> None:
    """User space loads the module for the same devices as the kernel's own."""
    own, = Kernel.from_environment().modules.glob("kernel/drivers/nvme/host/nvme.ko*")
    assert len(aliases(own)) > 50
    alone = {f"pci:v{vendor:08X}d{device:08X}sv*sd*bc*sc*i*" for vendor, device in OURS_ALONE}
    assert aliases(MODULE) == aliases(own) | alone


def test_new_id(machine: Machine, unloaded: Driver) -> None:
    """An ID can be written to new_id without driver data. The device with this ID is probed;
    the probe fails, as the device has no registers."""
    for name in BOTH:
        Driver(machine, name).load()
        drivers = f"/sys/bus/pci/drivers/{name}"
        assert write(machine, f"{drivers}/new_id", BRIDGE) == 0
        machine.wait_for(lambda: f"{name} {BRIDGE_ADDRESS}: " in machine.log.window(),
                         f"{name} tries the device")
        machine.wait_for(lambda: not Function(machine, BRIDGE_ADDRESS).driver,
                         "end of the probe")
        assert write(machine, f"{drivers}/remove_id", BRIDGE) == 0
        assert write(machine, f"{drivers}/new_id", QEMU.replace(":", " ")) == errno.EEXIST
        Driver(machine, name).unload()


def table_of_the_kernel() -> dict[tuple[int, int], set[str]]:
    """Returns the quirks of devices by vendor and device id, as the source of the
    kernel's own driver has them. The first entry for a device counts."""
    tree = subprocess.run([TOP / "scripts/toolchain", "path", "ksrc"], check=True,
                          capture_output=True, text=True).stdout.strip()
    names = dict(re.findall(
        r"#define (PCI_VENDOR_ID_\w+)\s+(0x\w+)",
        Path(tree, "include/linux/pci_ids.h").read_text()))
    source = Path(tree, "drivers/nvme/host/pci.c").read_text()
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.S)
    _, _, source = source.partition("nvme_id_table[] = {")
    found: dict[tuple[int, int], set[str]] = {}
    for kind, vendor, device, rest in re.findall(
            r"PCI_(V?)DEVICE\((\w+),\s*(\w+)\)([^}]*)\}", source):
        name = f"PCI_VENDOR_ID_{vendor}" if kind else vendor
        ids = int(names.get(name, name), 16), int(device, 16)
        found.setdefault(ids, set(re.findall(r"NVME_QUIRK_(\w+)", rest)))
    return found


def table_of_ours() -> dict[tuple[int, int], set[str]]:
    """Returns the quirks of devices by vendor and device id, from quirks/table.rs."""
    source = (TOP / "drivers/nvme/quirks/table.rs").read_text()
    _, _, source = source.partition("\ndevices! {")
    found = {}
    for vendor, devices in re.findall(r"^    (0x\w{4}) \{(.*?)^    \}", source,
                                      re.M | re.S):
        for device, quirks in re.findall(r"(0x\w{4}) =>([^,]*),", devices):
            names = set(re.findall(r"\w+", quirks)) - {"NONE"}
            ids = int(vendor, 16), int(device, 16)
            assert ids not in found, f"{vendor}:{device} twice"
            found[ids] = {"128_BYTES_SQES" if name == "SQES_128_BYTES" else name
                          for name in names}
    return found


def test_table() -> None:
    """Each device has the same quirks as with the kernel's own driver."""
    ours, theirs = table_of_ours(), table_of_the_kernel()
    assert len(theirs) > 50
    assert not set(OURS_ALONE) & set(theirs)
    assert ours == theirs | OURS_ALONE


def quirks(machine: Machine, controller: Controller) -> set[str]:
    """Returns the quirks that nvme-core knows of a controller."""
    return set(machine.read(f"/sys/class/nvme/{controller.name}/quirks").split())


@pytest.mark.parametrize("given, expected", [
    ("", {"bogus_nid"}),
    (f"{QEMU}:^bogus_nid", {"none"}),
    ("0x1B36:0x10:no_apst,broken_msi,^broken_msi", {"bogus_nid", "no_apst"}),
    (f"1234:5678:no_apst-{QEMU}:stripe_size-{QEMU}:no_apst",
     {"bogus_nid", "stripe_size"}),
    (f"8086:5845:^bogus_nid-{QEMU}:", {"bogus_nid"}),
])
def test_parameter(machine: Machine, unloaded: Driver, given: str,
                   expected: set[str]) -> None:
    for name in BOTH:
        driver = Driver(machine, name)
        driver.load(f"quirks='{given}'")
        controller, = controllers(machine).values()
        assert quirks(machine, controller) == expected
        assert machine.read(f"/sys/module/{name}/parameters/quirks") == given
        disk(machine, controller, 1)
        driver.unload()


@pytest.mark.shape(Shape(vfs=0, intel_id=True))
def test_other_id(machine: Machine, driver: Driver) -> None:
    controller, = controllers(machine).values()
    assert quirks(machine, controller) == {
        "identify_cns", "disable_write_zeroes", "bogus_nid"}
    device = disk(machine, controller, 1)
    fio(machine, device, size="1m")
    assert machine.read(
        f"/sys/block/{device[5:]}/queue/write_zeroes_max_bytes") == "0"


def facts(machine: Machine, controller: Controller) -> dict[str, str]:
    """Returns the values, as seen in the guest, that quirks change."""
    found = machine.run(
        f"cd /sys/class/nvme/{controller.name} && echo sqsize $(cat sqsize) &&"
        " echo queues $(cat queue_count) && cd device &&"
        " echo mask $(cat dma_mask_bits) $(cat consistent_dma_mask_bits) &&"
        " echo vectors $(ls msi_irqs | wc -l) &&"
        r" echo pools $(awk 'NR > 1 { print $(NF - 1) }' pools | sort -n) &&"
        " cd nvme/*/nvme*n1/mq/0 && echo tags $(cat nr_tags) $(cat nr_reserved_tags)"
    ).out
    return dict(line.split(" ", 1) for line in found.splitlines())


@pytest.mark.parametrize("quirk, more, changed", [
    ("qdepth_one", "", {"sqsize": "1", "tags": "1 0"}),
    ("single_vector", "", {"queues": "2", "vectors": "1"}),
    ("single_vector", "poll_queues=2", {"queues": "4", "vectors": "1"}),
    ("shared_tags", "", {"queues": "2", "vectors": "2", "tags": "1023 32"}),
    ("shared_tags,qdepth_one", "write_queues=2",
     {"queues": "2", "vectors": "2", "sqsize": "33", "tags": "33 32"}),
    ("dmapool_align_512", "", {"pools": "512 4096"}),
    ("dma_address_bits_48", "", {"mask": "48 48"}),
])
def test_transport(machine: Machine, unloaded: Driver, quirk: str, more: str,
                   changed: dict[str, str]) -> None:
    """The effect of a quirk in the transport can be seen on the device."""
    usual = {"sqsize": "1023", "queues": "5", "vectors": "5", "tags": "1023 0",
             "pools": "256 4096", "mask": "64 64"}
    for name in BOTH:
        driver = Driver(machine, name)
        driver.load(f"quirks={QEMU}:{quirk} {more}")
        controller, = controllers(machine).values()
        device = disk(machine, controller, 1)
        assert facts(machine, controller) == usual | changed, name
        if name == OURS:
            fio(machine, device, size="1m", bssplit="4k/50:64k/50")
            machine.run(f"nvme reset /dev/{controller.name}")
            fio(machine, device, size="512k")
            assert facts(machine, controller) == usual | changed
        driver.unload()


def create_flags(machine: Machine, driver: Driver, parameters: str) -> set[str]:
    """Loads and unloads the driver. Returns the flags of its Create I/O Submission Queue
    commands."""
    with traced(machine, "pci_nvme_create_sq") as lines:
        driver.load(parameters)
        driver.unload()
    assert lines
    return {flags for line in lines for flags in re.findall(r"qflags=(\w+)", line)}


def test_priority(machine: Machine, unloaded: Driver) -> None:
    for name in BOTH:
        driver = Driver(machine, name)
        assert create_flags(machine, driver, "") == {"1"}
        # Physically contiguous, and of priority 2.
        assert create_flags(
            machine, driver, f"quirks={QEMU}:medium_prio_sq") == {"5"}


def test_command_identifiers(machine: Machine, unloaded: Driver) -> None:
    """With the quirk, command identifiers are tags of at most 12 bits, without a generation."""
    largest = {}
    for given in "", "skip_cid_gen":
        unloaded.load(f"quirks={QEMU}:{given}")
        controller, = controllers(machine).values()
        device = disk(machine, controller, 1)
        with traced(machine, "pci_nvme_io_cmd") as lines:
            fio(machine, device, size="1m")
        cids = [int(cid) for line in lines for cid in re.findall(r"cid (\d+)", line)]
        assert len(cids) >= 512
        largest[given] = max(cids)
        unloaded.unload()
    assert largest["skip_cid_gen"] < 1 << 12 <= largest[""]


# All reads must go to the same queue.
@pytest.mark.shape(Shape(cpus=1))
def test_entries_of_128_bytes(machine: Machine, unloaded: Driver) -> None:
    """QEMU reads an entry every 64 bytes. So it finds an entry of zeroes between two commands;
    the driver must not take its completion for that of a command."""
    limit = "/sys/module/nvme_core/parameters/io_timeout"
    before = machine.read(limit)
    seen = {}
    for name in BOTH:
        driver = Driver(machine, name)
        assert write(machine, limit, IO_LIMIT) == 0
        start = now(machine)
        with traced(machine, "pci_nvme_io_cmd") as lines:
            driver.load(f"quirks={QEMU}:128_bytes_sqes")
            # If the scan for partitions ends, it has read only once.
            reader = machine.spawn("""
                for i in $(seq 100); do
                    [ ! -b /dev/nvme*n1 ] || break
                    sleep 0.1
                done
                dd if=$(ls /dev/nvme*n1) of=/dev/null bs=4k count=2 iflag=direct""")
            machine.wait_for(lambda: re.search(
                "no answer|timeout", machine.log.window()[start:]), "second read")
            machine.finish(reader)
        assert write(machine, limit, before) == 0
        opcodes = {int(opcode, 16) for line in lines
                   for opcode in re.findall(r"opc (\w+)", line)}
        seen[name] = opcodes
        driver.unload()
    assert seen[OURS] == seen["nvme"] == {0, 2}


@pytest.mark.shape(Shape(cpus=2, controllers=2, vfs=0, namespaces=0, same_ids=True))
def test_bogus_identifiers(machine: Machine, unloaded: Driver) -> None:
    """Namespaces of two devices have the same identifier. With the quirk, nvme-core ignores
    it; without the quirk, it drops the second namespace, and the driver prints the device."""
    # The controllers are probed in turn: nvme-core does not see namespaces being added.
    autoprobe = "/sys/bus/pci/drivers_autoprobe"
    assert write(machine, autoprobe, 0) == 0
    for name in BOTH:
        driver = Driver(machine, name)
        for given in "", f"{QEMU}:^bogus_nid":
            with said(machine) as lines:
                driver.load(f"quirks={given}")
                for function in physical_functions(machine):
                    assert function.bind(name) == 0
                if given:
                    machine.wait_for(
                        lambda: "duplicate IDs" in machine.run("dmesg").out, "notice")
                else:
                    for controller in controllers(machine).values():
                        disk(machine, controller, 1)
            told = [line for line in lines if "1b36:0010" in line]
            assert len(told) == (1 if given else 0), name
            assert all("QEMU NVMe Ctrl" in line for line in told)
            driver.unload()
            machine.run("dmesg -c > /dev/null")
    assert write(machine, autoprobe, 1) == 0
