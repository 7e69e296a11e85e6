# SPDX-License-Identifier: GPL-2.0
"""nvme-sriov on the emulated controller. Its unit tests, which have no kernel below them, are
in test_nvme_sriov.py."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from guest.architecture import NATIVE
from guest.machine import Machine
from guest.shape import Shape
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio_command
from subject.tool import Tool

TOTAL_VFS = 8

pytestmark = [
    pytest.mark.skipif(not NATIVE, reason="only guests of the host's architecture have Python"),
    pytest.mark.shape(Shape(python=True)),
    pytest.mark.usefixtures("pool_intact", "defaults"),
]


@pytest.fixture
def tool(machine: Machine) -> Tool:
    """Returns the tool, in the guest."""
    return Tool(machine)


@pytest.fixture
def other_driver(machine: Machine) -> Iterator[str]:
    """Yields the kernel's own driver, which the tool loads, and unloads it afterwards."""
    yield "nvme"
    if machine.alive:
        machine.run("! test -d /sys/module/nvme || rmmod nvme")


def described(pf: PhysicalFunction) -> list[object]:
    """Returns what the PF's VFs are set to and have."""
    return [
        [(vf.address, vf.driver) for vf in pf.vfs],
        [(pf.setting(index, name)) for index in range(TOTAL_VFS)
         for name in ("queues", "interrupts", "namespaces", "attached", "state",
                      "assigned_queues", "assigned_interrupts")]]


def test_list(driver: Driver, pf: PhysicalFunction, tool: Tool) -> None:
    """The table and the JSON show the values of sysfs."""
    assert pf.set(0, "queues", 3) == pf.set(1, "namespaces", "2 3") == 0
    assert pf.set_vfs(2) == 0
    ids = [vf.probed().cntlid for vf in pf.vfs]
    pf.vfs[1].unbind()
    shown = tool.run("list", pf.address)
    assert shown == tool.run("list")
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0][0] == pf.address and "2 of 8" in shown
    rows = {line[0]: line[1:] for line in lines if re.fullmatch(r"vf\d", line[0])}
    assert len(rows) == TOTAL_VFS
    first, second = pf.vfs
    assert rows["vf0"] == [first.address, driver.name, "online", str(ids[0]),
                           "3", "3", "-", "3", "-", "1"]
    assert rows["vf1"] == [second.address, "-", "online", str(ids[1]),
                           "-", "6", "-", "6", "2,3", "1,2,3"]
    assert rows["vf2"][:3] == ["-", "-", "offline"]

    found, = tool.json("list")["physical_functions"]
    assert found["address"] == pf.address and found["queues"] == pf.pool("queues")
    assert (found["enabled_vfs"], found["total_vfs"]) == (2, TOTAL_VFS)
    assert found["controller"] == pf.live().name
    vf = found["vfs"][1]
    assert (vf["address"], vf["driver"], vf["cntlid"]) == (second.address, None, ids[1])
    assert (vf["namespaces"], vf["attached"]) == ([2, 3], [1, 2, 3])
    assert "not an NVMe function" in tool.run("list", "0000:00:00.0", status=1)


def test_set_enable_disable(driver: Driver, pf: PhysicalFunction, tool: Tool,
                            other_driver: str) -> None:
    """A VF in use gets other resources: its driver leaves meanwhile."""
    device = pf.live().name
    tool.run("set", device, "vf", 0, "queues", 4, "interrupts", 3, "namespaces", "2,3")
    tool.run("enable", device, 3)
    assert pf.resources()[:3] == [(4, 3), (6, 6), (6, 6)]
    assert pf.vfs[0].probed().io_queues == 2
    tool.run("set", f"/dev/{device}", "vf", 0, "queues", 2, "namespaces", "none")
    assert pf.vfs[0].driver == driver.name
    assert pf.vfs[0].live().io_queues == 1
    assert pf.setting(0, "namespaces") == ""
    tool.run("set", device, "vf", 1, "driver", other_driver)
    assert pf.vfs[1].driver == other_driver
    pf.vfs[1].live()
    tool.run("enable", pf.address, 2)
    assert pf.num_vfs == 2
    tool.run("disable", device)
    assert not pf.vfs and pf.setting(0, "queues") == "2"


def test_the_kernels_line(pf: PhysicalFunction, tool: Tool) -> None:
    said = tool.run("set", pf.address, "vf", 0, "namespaces", 99, status=1)
    assert said.count("\n") == 1 and "No such device or address (ENXIO)" in said
    assert f"kernel: nvme {pf.live().name}: VF 0: there is no namespace 99" in said
    assert pf.setting(0, "namespaces") == ""


FILE = """[pf {name}]
vfs = 4

[vf 0]
queues = 4
interrupts = 2
namespaces = 2

[vf 1]
namespaces = 3 4
driver = nvme

[vf 3]
driver = none
"""


def test_apply_and_save(machine: Machine, driver: Driver, pf: PhysicalFunction, tool: Tool,
                        other_driver: str) -> None:
    """The file comes true, once; and what is saved is the same."""
    serial = machine.read(f"/sys/class/nvme/{pf.live().name}/serial")
    text = FILE.format(name=f"serial={serial}")
    initial = described(pf)
    planned = tool.apply(text, "--dry-run")
    assert f"{pf.address}: enable 4 VFs\n" in planned
    assert f"{pf.address}: vf1: driver nvme\n" in planned
    assert described(pf) == initial

    assert tool.apply(text) == planned
    assert [vf.driver for vf in pf.vfs] == [driver.name, other_driver, driver.name, ""]
    assert pf.setting(1, "attached") == "1 3 4"
    assert pf.resources()[0] == (4, 2)
    for vf in pf.vfs[:3]:
        vf.live()
    applied = described(pf)
    assert tool.apply(text) == f"{pf.address}: nothing to do\n"
    assert described(pf) == applied

    tool.run("save", "-f", "/run/saved", "--serial")
    tool.run("disable", pf.address)
    for index in range(2):
        tool.run("set", pf.address, "vf", index, "queues", 0, "interrupts", 0,
                 "namespaces", "none")
    tool.run("apply", "-f", "/run/saved", pf.address)
    for vf in pf.vfs[:3]:
        vf.live()
    assert described(pf) == applied


def test_undo(machine: Machine, driver: Driver, pf: PhysicalFunction, tool: Tool,
              other_driver: str) -> None:
    """VFs, settings and drivers come back if more VFs cannot be enabled: resources of a VF
    that is not enabled are missing."""
    tool.apply(f"[pf {pf.address}]\nvfs = 2\n[vf 0]\nnamespaces = 2\ndriver = nvme\n"
               "[vf 1]\nqueues = 5\ninterrupts = 5\nnamespaces = 3\n")
    pf.vfs[0].live()
    pf.vfs[1].live()
    pf.manage(7, "--rt=0 --act=8 --nr=6")
    try:
        machine.wait_for(lambda: pf.setting(7, "assigned_queues") == "6", "sysfs to follow")
        before = described(pf)
        said = tool.apply(f"[pf {pf.address}]\nvfs = 4\n" + "".join(
            f"[vf {index}]\nqueues = 6\nnamespaces = {5 - index}\n" for index in range(4)),
            status=1)
        assert said.count("\n") == 1 and "enable 4 VFs: No space left" in said
        assert "(ENOSPC); kernel: nvme" in said and "need 24 queue" in said
        assert "not undone" not in said
        for vf in pf.vfs:
            vf.live()
        assert described(pf) == before
    finally:
        pf.manage(7, "--rt=0 --act=8 --nr=0")


def test_when_the_pf_appears(machine: Machine, driver: Driver, pf: PhysicalFunction,
                             tool: Tool) -> None:
    """When the kernel says that the driver is bound, all is there that apply needs. The guest
    has no udev; busybox asks the kernel in its place, with what the rule asks for."""
    serial = machine.read(f"/sys/class/nvme/{pf.live().name}/serial")
    driver.unload()
    machine.put(tool.file, f"[pf serial={serial}]\nvfs = 2\n[vf 0]\nnamespaces = 2\n"
                .encode())
    machine.put("/run/rule", f"""#!/bin/sh
[ "$ACTION $SUBSYSTEM $DRIVER" = "bind pci {driver.name}" ] || exit 0
[ -e "/sys$DEVPATH/sriov_totalvfs" ] || exit 0
{tool.program} apply -f {tool.file} "${{DEVPATH##*/}}" >> /run/applied 2>&1
echo "status $?" >> /run/applied
""".encode())
    listener = machine.spawn("chmod +x /run/rule && exec uevent /run/rule")
    try:
        driver.load()
        machine.wait_for(lambda: "status" in machine.run(
            "cat /run/applied", check=False).out, "the file to be applied", 60)
    finally:
        machine.run("killall uevent; rm -f /run/rule", check=False)
        machine.finish(listener)
    assert machine.read("/run/applied").splitlines() == [
        f"{pf.address}: vf0: namespaces none -> 2", f"{pf.address}: enable 2 VFs", "status 0"]
    assert pf.setting(0, "attached") == "1 2"
    for vf in pf.vfs:
        vf.live()


@contextmanager
def applied_again_and_again(machine: Machine, pf: PhysicalFunction, tool: Tool,
                            vfs: tuple[int, int]) -> Iterator[Callable[[], list[str]]]:
    """Has two files applied in turns meanwhile, with these numbers of VFs, until one fails.
    Yields what returns the exit statuses so far; the last complaint is in /run/complaint."""
    for number, count in enumerate(vfs, 1):
        machine.put(f"/run/{number}.conf", f"[pf {pf.address}]\nvfs = {count}\n[vf 0]\n"
                    f"queues = {number + 1}\nnamespaces = {number + 1}\n".encode())
    machine.run("rm -f /run/statuses /run/stop")
    process = machine.spawn(
        "until [ -e /run/stop ]; do for number in 1 2; do"
        f" {tool.program} apply -f /run/$number.conf"
        " 2> /run/complaint; echo $? >> /run/statuses; grep -q '^[^0]' /run/statuses && exit;"
        " done; done")

    def statuses() -> list[str]:
        return machine.run("cat /run/statuses", check=False).out.split()
    try:
        machine.wait_for(statuses, "the first file to be applied", 60)
        yield statuses
    finally:
        if machine.alive:
            machine.run("touch /run/stop")
            machine.finish(process, 120)


def test_a_pf_that_goes(machine: Machine, pf: PhysicalFunction, tool: Tool) -> None:
    """What is under way, or comes next, fails with one line. No VFs are enabled: a write to
    sriov_numvfs holds the device lock and waits for the rescan lock, a removal the other way
    round, in the PCI core."""
    with applied_again_and_again(machine, pf, tool, (0, 0)) as statuses:
        machine.run(f"echo 1 > {pf.sysfs}/remove")
        machine.wait_for(lambda: statuses()[-1] != "0", "an apply that fails", 60)
    machine.run("echo 1 > /sys/bus/pci/rescan")
    pf.live()
    complaint = machine.read("/run/complaint")
    assert statuses()[-1] == "1" and complaint.startswith("nvme-sriov: "), complaint
    assert "\n" not in complaint
    assert pf.num_vfs == 0 and tool.run("enable", pf.address, 1) == ""


@pytest.mark.shape(Shape(plain_ports=True, watched_locks=False, python=True))
def test_during_error_recovery(machine: Machine, pf: PhysicalFunction, tool: Tool) -> None:
    """Changes wait until the controller has recovered."""
    said = "device recovery successful"
    with applied_again_and_again(machine, pf, tool, (1, 2)) as statuses:
        for recovery in range(1, 5):
            machine.hmp("pcie_aer_inject_error port0 DLP")
            machine.wait_for(lambda: machine.log.window().count(said) >= recovery, said, 60)
            done = len(statuses())
            machine.wait_for(lambda: len(statuses()) > done, "a file to be applied", 60)
    assert set(statuses()) == {"0"}, machine.read("/run/complaint")
    # The second one was the last.
    assert pf.num_vfs == 2 and pf.setting(0, "attached") == "1 3"
    for function in (pf, *pf.vfs):
        function.live()


def test_during_resets(machine: Machine, pf: PhysicalFunction, tool: Tool) -> None:
    """Writes wait for resets of the PF, and go on."""
    machine.run("rm -f /run/resets /run/stop")
    process = machine.spawn(
        f"until [ -e /run/stop ]; do nvme reset {pf.device}; echo >> /run/resets; done")
    try:
        for queues, vfs in ((2, 3), (4, 2)):
            text = (f"[pf {pf.address}]\nvfs = {vfs}\n[vf 0]\nqueues = {queues}\n"
                    f"namespaces = {queues}\n")
            before = machine.run("wc -l < /run/resets", check=False).out
            assert f"enable {vfs} VFs" in tool.apply(text)
            assert tool.apply(text) == f"{pf.address}: nothing to do\n"
            assert machine.run("wc -l < /run/resets").out != before
    finally:
        machine.run("touch /run/stop")
        machine.finish(process)
    pf.live()
    assert pf.resources()[0][0] == 4 and pf.setting(0, "attached") == "1 4"
    for vf in pf.vfs:
        vf.live()


def test_bad_input(pf: PhysicalFunction, tool: Tool) -> None:
    """One line, an exit status, and nothing changed."""
    before = described(pf)
    for text in ("vfs = 1\n", f"[pf {pf.address}]\nvfs = 9\n",
                 f"[pf {pf.address}]\nvfs = 2\n[vf 0]\nqueues = 7\n"):
        said = tool.apply(text, status=2)
        assert said.count("\n") == 1 and f"{Tool.file}:1: " in said
    for words in (["enable", pf.address, 9], ["set", pf.address, "vf", 8, "queues", 2],
                  ["set", pf.address, "vf", 0, "queues", "many"], ["undo"]):
        assert tool.run(*words, status=2).count("\n") == 1
    assert described(pf) == before


def test_top(machine: Machine, pf: PhysicalFunction, tool: Tool) -> None:
    """I/O of one VF is its own."""
    tool.run("set", pf.address, "vf", 1, "namespaces", 2)
    tool.run("enable", pf.address, 2)
    idle, busy = (vf.live() for vf in pf.vfs)
    device = disk(machine, busy, 2)
    process = machine.spawn(fio_command(device, time_based=1, runtime=60, verify=0))
    machine.wait_for(lambda: machine.run(
        f"cat /sys/block/{device.rpartition('/')[2]}/stat").out.split()[4] != "0", "I/O")
    shown = json.loads(tool.run("top", "-d", 1, "-n", 1, "--json"))["vfs"]
    table = tool.run("top", pf.address, "-d", "0.5", "-n", 2)
    machine.run("killall fio")
    machine.finish(process)
    assert [vf["controller"] for vf in shown] == [idle.name, busy.name]
    assert shown[0]["writes"] == 0
    assert shown[1]["writes"] > 0 and shown[1]["written_bytes"] >= 4096 * shown[1]["writes"]
    assert table.count("in flight") == 2


def test_a_disk_in_use_keeps_its_driver(machine: Machine, pf: PhysicalFunction,
                                        tool: Tool) -> None:
    """The guest has no file system for disks, but disks can be swap space."""
    tool.run("set", pf.address, "vf", 0, "namespaces", 2)
    tool.run("enable", pf.address, 1)
    device = disk(machine, pf.vfs[0].live(), 2)
    machine.run(f"mkswap {device} && swapon {device}")
    try:
        assert f"in use: {device} is swap space" in tool.run("disable", pf.address, status=1)
        assert pf.num_vfs == 1
    finally:
        machine.run(f"swapoff {device}")
    tool.run("disable", pf.address)
    assert pf.num_vfs == 0


def test_doctor(driver: Driver, pf: PhysicalFunction, tool: Tool) -> None:
    """Without an IOMMU, and with a module that is not signed, VFs still work."""
    tool.run("enable", pf.address, 4)
    found = tool.json("doctor")["findings"]
    texts = {one["text"]: one["grade"] for one in found}
    assert "error" not in texts.values() and "unknown" not in texts.values(), texts
    assert [text for text, grade in texts.items() if grade == "warning"
            and text.startswith("no IOMMU")]
    assert [text for text in texts if re.match("the last VF is on bus", text)]
    assert [text for text in texts if re.match("VF BARs have .* of memory windows", text)]
    pf.unbind()
    try:
        shown, = [one for one in json.loads(tool.run("doctor", "--json", status=1))["findings"]
                  if one["grade"] == "error"]
        assert shown["text"] == "its driver is missing, not nvme_rs"
    finally:
        assert pf.bind(driver.name) == 0


@pytest.mark.shape(Shape(cpus=2, controllers=2, iommu=True, python=True))
def test_vfs_for_virtual_machines(machine: Machine, pf: PhysicalFunction,
                                  tool: Tool) -> None:
    """One VF for vfio-pci, the other for the host; each in an IOMMU group of its own."""
    machine.run("modprobe vfio_iommu_type1")
    text = f"[pf {pf.address}]\nvfs = 2\n[vf 0]\nnamespaces = 2\ndriver = vfio-pci\n"
    tool.apply(text)
    assert [vf.driver for vf in pf.vfs] == ["vfio-pci", "nvme_rs"]
    pf.vfs[1].live()
    assert tool.apply(text) == f"{pf.address}: nothing to do\n"
    findings = tool.json("doctor", pf.address)["findings"]
    assert {"grade": "ok", "subject": pf.address, "text": "behind an IOMMU",
            "advice": ""} in findings
    assert not [one for one in findings if "vfio" in one["text"] and one["grade"] != "ok"]
    tool.run("set", pf.address, "vf", 0, "driver", "default")
    assert pf.vfs[0].driver == "nvme_rs"
    pf.vfs[0].live()
    tool.run("disable", pf.address)
