# SPDX-License-Identifier: GPL-2.0
"""Unit tests of nvme-sriov on a folder of files that look like sysfs, run without a guest."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from subject.fake_kernel import DEVICES, DRIVERS, PF, POOL, TOOL, TOTAL, FakeKernel, Run

from nvme_sriov.declaration import Declaration
from nvme_sriov.failure import Failure, Misuse
from nvme_sriov.file import parse_lines
from nvme_sriov.kernel_log import KernelLog
from nvme_sriov.physical import find
from nvme_sriov.plan import Function, State, plan
from nvme_sriov.program import main
from nvme_sriov.setting import Setting

FILE = f"""# comment
[pf {PF}]
vfs = 3

[vf 0]
queues = 4
interrupts = 3
namespaces = 9, 10
driver = vfio-pci

[vf 2]
driver = none
"""


def test_file() -> None:
    section, = parse_lines(FILE.splitlines(), "x")
    assert section.name == PF
    assert section.wanted == Declaration(3, {
        0: Setting(4, 3, (9, 10), "vfio-pci"), 2: Setting(driver="none")})


@pytest.mark.parametrize("text, line", [
    ("vfs = 1", 1), ("[pf]", 1), ("[pf x y]", 1), ("[disk 1]", 1), ("[vf 1]", 1),
    ("[pf serial=]\nvfs=1", 1), ("[pf 01:00.0", 1),
    ("[pf 01:00.0]\n", 1),
    ("[pf 01:00.0]\nvfs=1\n[pf 01:00.0]\nvfs=1", 3),
    ("[pf 01:00.0]\nvfs", 2), ("[pf 01:00.0]\nvfs=", 2), ("[pf 01:00.0]\nvfs=-1", 2),
    ("[pf 01:00.0]\nvfs=1\nvfs=1", 3), ("[pf 01:00.0]\nvfs=70000", 2),
    ("[pf 01:00.0]\nqueues=2", 2),
    ("[pf 01:00.0]\nvfs=1\n[vf x]", 3), ("[pf 01:00.0]\nvfs=1\n[vf 0]\n[vf 0]", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nqueues=1", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nqueues=many", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nqueues=65536", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nqueues=3\nqueues=3", 5),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\ninterrupts=-1", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nnamespaces=0", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nnamespaces=4294967295", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nnamespaces=1 2 1", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nnamespaces=a", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\ndriver=", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\ndriver=../x", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 0]\nvfs=1", 4),
    ("[pf 01:00.0]\nvfs=1\n[vf 1]\ndriver=nvme", 3),
    # What only the PF tells has the line of its section.
    (f"[pf {PF}]\nvfs=5", 1), ("\n[pf serial=SN2]\nvfs=1", 2),
    (f"[pf {PF}]\nvfs=1\n[pf serial=SN1]\nvfs=1", 3),
    (f"[pf {PF}]\nvfs=1\n[vf 4]\nqueues=2", 1), (f"[pf {PF}]\nvfs=1\n[vf 0]\nqueues=7", 1),
    (f"[pf {PF}]\nvfs=4\n[vf 0]\nqueues=6\n[vf 1]\nqueues=3", 1),
])
def test_wrong_lines(run: Run, kernel: FakeKernel, text: str, line: int) -> None:
    """Nothing is written, and the complaint names the line."""
    status = 1 if "SN2" in text else 2
    assert f"{run.file}:{line}: " in run.apply(text, status=status)
    assert not kernel.writes


@pytest.mark.parametrize("words, status", [
    ("", 2), ("destroy", 2), ("list nonsense", 2), ("list 02:00.0", 1), ("list nvme9", 1),
    ("list 0000:00:02.0", 1), ("list serial=", 2), ("list --colour", 2),
    (f"set {PF}", 2), (f"set {PF} vf 0", 2), (f"set {PF} pf 0 queues 2", 2),
    (f"set {PF} vf x queues 2", 2), (f"set {PF} vf 4 queues 2", 2),
    (f"set {PF} vf 0 queues", 2), (f"set {PF} vf 0 queues 1", 2), (f"set {PF} vf 0 size 2", 2),
    (f"set {PF} vf 0 size", 2), (f"set {PF} vf 0 driver", 2),
    (f"set {PF} vf 0 queues 7", 2), (f"set {PF} vf 0 namespaces 0", 2),
    (f"set {PF} vf 0 queues 2 queues 2", 2), (f"set {PF} vf 0 driver nvme", 2),
    (f"enable {PF} 0", 2), (f"enable {PF} x", 2), (f"enable {PF} 5", 2), ("enable", 2),
    ("disable", 2), ("disable 02:00.0", 1), ("apply -f /nonexistent", 1),
    ("save -f /nonexistent/file", 1), (f"top {PF} -d x", 2), (f"top {PF} -d 0", 2),
    (f"top {PF} -d nan", 2), (f"top {PF} -n 0", 2), (f"top {PF} -n x", 2),
    ("doctor 02:00.0", 1),
])
def test_wrong_commands(run: Run, kernel: FakeKernel, words: str, status: int) -> None:
    run(*words.split(), status=status)
    assert not kernel.writes


def test_apply(run: Run, kernel: FakeKernel) -> None:
    """The second time, nothing is left to do."""
    plan_ = run.apply(FILE, "--dry-run")
    assert not kernel.writes
    assert run.apply(FILE) == plan_
    assert kernel.read(f"{DEVICES}/{PF}/sriov_numvfs") == "3"
    assert [kernel.driver(index) for index in range(3)] == ["vfio-pci", "nvme_rs", None]
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/namespaces") == "9 10"
    assert kernel.read(f"{DEVICES}/{PF}/sriov_drivers_autoprobe") == "1"
    assert kernel.read(f"{DEVICES}/0000:01:00.1/driver_override") == "vfio-pci"
    kernel.writes.clear()
    assert run.apply(FILE) == f"{PF}: nothing to do\n"
    assert not kernel.writes


def test_apply_to_another_pf(run: Run, kernel: FakeKernel) -> None:
    """The file may name PFs that are not there if the command line names those that are."""
    assert "says nothing of" in run.apply("[pf 02:00.0]\nvfs = 1\n", PF)
    run.apply(f"[pf 02:00.0]\nvfs = 1\n[pf {PF}]\nvfs = 2\n", "nvme0")
    assert kernel.read(f"{DEVICES}/{PF}/sriov_numvfs") == "2"


WRITES = ((f"{PF}/nvme_sriov/vf0/queues", "4"), (f"{PF}/nvme_sriov/vf0/namespaces", "9 10"),
          (f"{DRIVERS}/vfio-pci/bind", "0000:01:00.1"), (f"{PF}/sriov_numvfs", "3"),
          (f"{PF}/sriov_drivers_autoprobe", "0"))
"""Writes of a plan for FILE. The last two are none if three VFs are enabled."""


@pytest.mark.parametrize("before, where, value", [
    (before, *write) for before in (0, 2, 3) for write in WRITES[:3 if before == 3 else None]])
def test_undo(run: Run, kernel: FakeKernel, before: int, where: str, value: str) -> None:
    """What fails has the errno and the kernel's line, and leaves everything as it was."""
    run.apply(f"[pf {PF}]\nvfs = {before}\n[vf 1]\nnamespaces = 7\n"
              + "driver = nvme\n" * (before > 0))
    state = kernel.state()
    kernel.writes.clear()
    kernel.refused[where, value] = errno.ENOSPC
    said = run.apply(FILE, status=1)
    assert (where, value) in kernel.writes
    assert "(ENOSPC)" in said and f"kernel: nvme nvme0: refused {value}" in said
    assert "not undone" not in said
    assert kernel.state() == state


def test_undo_with_a_vf_without_driver(run: Run, kernel: FakeKernel) -> None:
    """One whose driver was unbound by hand has none again, and may have any."""
    run("enable", PF, 2)
    (kernel.vf(0) / "driver").unlink()
    state = kernel.state()
    kernel.refused[f"{PF}/sriov_numvfs", "3"] = errno.EIO
    run.apply(FILE, status=1)
    assert kernel.state() == state


def test_modules_come_first(run: Run, kernel: FakeKernel,
                            monkeypatch: pytest.MonkeyPatch) -> None:
    """When a driver is registered, it takes every VF that has none; the one that is there is
    for others."""
    driver = kernel.root / DRIVERS / "nvme"
    modprobe = kernel.root / "modprobe"
    modprobe.write_text(f"#!/bin/sh\n[ $1 = -D ] || mv {driver}-gone {driver}\n")
    modprobe.chmod(0o755)
    monkeypatch.setenv("PATH", str(kernel.root), prepend=os.pathsep)
    driver.rename(f"{driver}-gone")
    text = f"[pf {PF}]\nvfs = 2\n[vf 0]\ndriver = nvme\n"
    planned = run.apply(text, "--dry-run")
    assert not driver.exists()
    assert run.apply(text) == planned
    assert [line.removeprefix(f"{PF}: ") for line in planned.splitlines()] == [
        "load nvme", "enable 2 VFs", "vf0: driver nvme", "vf1: any driver"]
    assert [kernel.driver(index) for index in range(2)] == ["nvme", "nvme_rs"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_undo_by_a_signal(run: Run, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch,
                          number: int) -> None:
    """A service that is stopped, or a lost terminal, leaves nothing half done."""
    state, store = kernel.state(), kernel.store

    def stop(path: str, value: str) -> None:
        store(path, value)
        if path.endswith("vfio-pci/bind"):
            os.kill(os.getpid(), number)
    monkeypatch.setattr(kernel, "store", stop)
    run.file.write_text(FILE)
    try:
        status = main(["apply", "-f", str(run.file)], kernel)
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 128 + number
    assert kernel.state() == state


def test_a_missing_driver_changes_nothing(run: Run, kernel: FakeKernel) -> None:
    """VFs are not disabled for a driver that cannot be had."""
    run("enable", PF, 2)
    kernel.writes.clear()
    text = f"[pf {PF}]\nvfs = 3\n[vf 0]\ndriver = nosuch\n"
    for options in ([], ["--dry-run"]):
        assert "there is no PCI driver nosuch" in run.apply(text, *options, status=1)
    assert "nosuch" in run("set", PF, "vf", 0, "driver", "nosuch", status=1)
    assert not kernel.writes


def during(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, where: str,
           act: Callable[[], None]) -> None:
    """Has something happen before the kernel sees a write to a file."""
    store = kernel.store

    def acting(path: str, value: str) -> None:
        if path.endswith(where):
            act()
        store(path, value)
    monkeypatch.setattr(kernel, "store", acting)


@pytest.mark.parametrize("where", ["vf0/namespaces", "sriov_numvfs", "vfio-pci/bind"])
def test_a_pf_that_goes(run: Run, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch,
                        where: str) -> None:
    """There is nothing to undo in a function that was removed."""
    def remove_all() -> None:
        subprocess.run(["rm", "-rf", kernel.pf, *(kernel.vf(index) for index in range(TOTAL)),
                        *(kernel.root / DEVICES).glob("0000:01:*")], check=True)
    during(kernel, monkeypatch, where, remove_all)
    said = run.apply(FILE, status=1)
    assert said.endswith("; the function is gone\n") and "not undone" not in said


def test_a_pf_that_goes_before(run: Run, kernel: FakeKernel,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock was waited for too long."""
    def flock(*_: object) -> None:
        subprocess.run(["rm", "-r", kernel.pf, kernel.root / DEVICES / PF], check=True)
    monkeypatch.setattr("fcntl.flock", flock)
    assert "the function is gone" in run("enable", PF, 1, status=1)
    assert not kernel.writes


@pytest.mark.parametrize("state", ["resetting", "connecting"])
def test_error_recovery(run: Run, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch,
                        state: str) -> None:
    """What the kernel refuses while the controller recovers is written again."""
    file = kernel.pf / "nvme/nvme0/state"
    kernel.refused[f"{PF}/sriov_numvfs", "2"] = errno.EBUSY
    file.write_text(f"{state}\n")
    monkeypatch.setattr("time.sleep", lambda _: file.write_text("live\n"))
    run("enable", PF, 2)
    assert kernel.read(f"{DEVICES}/{PF}/sriov_numvfs") == "2"
    kernel.refused[f"{PF}/sriov_numvfs", "0"] = errno.EBUSY
    assert "(EBUSY)" in run("disable", PF, status=1)


def test_what_cannot_be_undone_is_told(run: Run, kernel: FakeKernel) -> None:
    run("set", PF, "vf", 0, "queues", 2)
    kernel.refused = {(f"{PF}/sriov_numvfs", "3"): errno.EIO,
                      (f"{PF}/nvme_sriov/vf0/queues", "2"): errno.EBUSY}
    said = run.apply(FILE, status=1)
    assert "(EIO)" in said and "not undone: " in said and "(EBUSY)" in said


def test_resources_of_vfs_in_use(run: Run, kernel: FakeKernel) -> None:
    """The driver leaves the VF meanwhile, and is not another one afterwards."""
    run("enable", PF, 2)
    run("set", "nvme0", "vf", 0, "driver", "nvme")
    run("set", "serial=SN1", "vf", 0, "queues", 3, "namespaces", "5,6")
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/queues") == "3"
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/namespaces") == "5 6"
    assert kernel.driver(0) == "nvme"
    run("set", PF, "vf", 0, "driver", "default")
    assert kernel.driver(0) == "nvme_rs"
    run("set", PF, "vf", 0, "driver", "none", "namespaces", "none")
    assert kernel.driver(0) is None
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/namespaces") == ""
    run("disable", PF)
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/queues") == "3"


def test_rebinding_without_autoprobe(run: Run, kernel: FakeKernel) -> None:
    """The administrator wants no drivers for VFs that are enabled later; one that is there
    comes back."""
    run("enable", PF, 1)
    (kernel.pf / "sriov_drivers_autoprobe").write_text("0\n")
    run("set", PF, "vf", 0, "queues", 3)
    assert kernel.driver(0) == "nvme_rs"
    assert kernel.read(f"{DEVICES}/{PF}/sriov_drivers_autoprobe") == "0"
    run("enable", PF, 2)
    assert kernel.driver(0) is kernel.driver(1) is None


def test_reservations_survive_enabling(run: Run, kernel: FakeKernel) -> None:
    """Another number of VFs is enabled, and what was for virtual machines still is."""
    run("enable", PF, 2)
    run("set", PF, "vf", 0, "driver", "vfio-pci")
    run("enable", PF, 3)
    assert [kernel.driver(index) for index in range(3)] == ["vfio-pci", "nvme_rs", "nvme_rs"]
    assert kernel.read(f"{DEVICES}/0000:01:00.1/driver_override") == "vfio-pci"
    assert kernel.read(f"{DEVICES}/0000:01:00.2/driver_override") == "(null)"


def mount(kernel: FakeKernel, index: int, device: str) -> None:
    """Has a VF's disk mounted, which mountinfo names like that."""
    folder = kernel.vf(index) / "nvme/nvme5/nvme5n1"
    folder.mkdir(parents=True)
    block = kernel.root / "sys/class/block/nvme5n1"
    (block / "holders").mkdir(parents=True)
    (block / "dev").write_text("259:3\n")
    (kernel.root / "proc/self").mkdir(parents=True)
    (kernel.root / "proc/self/mountinfo").write_text(f"30 1 {device} rw\n")


@pytest.mark.parametrize("device", ["259:3 / /mnt rw - ext4 /dev/root",
                                    "0:38 / /mnt rw - btrfs /dev/nvme5n1"])
@pytest.mark.parametrize("words", ["disable", "enable 2", "set vf 0 queues 3",
                                   "set vf 0 driver none"])
def test_vfs_in_use(run: Run, kernel: FakeKernel, words: str, device: str) -> None:
    """A VF whose disk is mounted keeps its driver, unless it is forced."""
    command, *rest = words.split()
    run("enable", PF, 1)
    mount(kernel, 0, device)
    state = kernel.state()
    said = run(command, PF, *rest, status=1)
    assert "in use: /dev/nvme5n1 is mounted on /mnt" in said
    assert kernel.state() == state
    run(command, PF, *rest, "--force")
    assert kernel.state() != state


def test_namespaces_in_use(run: Run, kernel: FakeKernel) -> None:
    """A namespace whose disk is mounted stays, too."""
    run("set", PF, "vf", 0, "namespaces", "5,6")
    run("enable", PF, 1)
    mount(kernel, 0, "259:3 / /mnt rw - ext4 /dev/root")
    (kernel.vf(0) / "nvme/nvme5/nvme5n1/nsid").write_text("6\n")
    assert "in use: /dev/nvme5n1" in run("set", PF, "vf", 0, "namespaces", 5, status=1)
    run("set", PF, "vf", 0, "namespaces", 6)
    run("set", PF, "vf", 0, "namespaces", 5, "--force")
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/namespaces") == "5"


def test_vfio_in_use(run: Run, kernel: FakeKernel) -> None:
    """A virtual machine has the VF."""
    run("enable", PF, 1)
    run("set", PF, "vf", 0, "driver", "vfio-pci")
    (kernel.vf(0) / "iommu_group").symlink_to("/groups/17")
    (kernel.root / "proc/99/fd").mkdir(parents=True)
    (kernel.root / "proc/99/comm").write_text("qemu\n")
    (kernel.root / "proc/99/fd/5").symlink_to("/dev/vfio/17")
    assert "process 99 (qemu)" in run("disable", PF, status=1)
    (kernel.root / "proc/99/fd/5").unlink()
    run("disable", PF)


def test_namespaces_move() -> None:
    """A private namespace leaves one VF before another gets it; so do resources."""
    now = State(2, (Function(Setting(6, 0, (5, 6))), Function(Setting(2, 0, (7,)))))
    wanted = Declaration(2, {0: Setting(2, 0, (6, 7)), 1: Setting(6, 0, (5,))})
    assert [str(change) for change in plan(now, wanted)] == [
        "vf0: queues 6 -> 2", "vf0: namespaces 5 6 -> 6", "vf1: namespaces 7 -> none",
        "vf0: namespaces 6 -> 6 7", "vf1: queues 2 -> 6", "vf1: namespaces none -> 5"]


def test_save(run: Run, kernel: FakeKernel) -> None:
    """What is saved is so already, and comes back."""
    run.apply(FILE + "[vf 3]\nqueues = 2\n")
    state = kernel.state()
    for option in ([], ["--serial"]):
        run("save", "-f", run.file, *option)
        assert ("[pf serial=SN1]" in run.file.read_text()) == bool(option)
        assert run("apply", "-f", run.file) == f"{PF}: nothing to do\n"
    assert run("save", "-f", "-", "--serial") == run.file.read_text()
    run.apply(f"[pf {PF}]\nvfs = 0\n")
    saved = "\n".join(line for line in FILE.splitlines())
    run.apply(saved + "\n[vf 3]\nqueues = 2\n")
    assert kernel.state() == state


def test_save_keeps_what_the_name_is(run: Run, kernel: FakeKernel) -> None:
    """A link stays a link, a device a device."""
    link = kernel.root / "link"
    run.file.write_text("old")
    link.symlink_to(run.file)
    run("save", "-f", link)
    assert link.is_symlink() and run.file.read_text() == run("save", "-f", "-")
    link.unlink()
    link.symlink_to("/dev/full")
    assert "(ENOSPC)" in run("save", "-f", link, status=1)
    assert link.is_char_device()


def test_save_waits_for_no_driver(run: Run, kernel: FakeKernel) -> None:
    """A driver that is yet to come is not none, unless VFs get none by themselves."""
    run("enable", PF, 1)
    (kernel.vf(0) / "driver").unlink()
    assert "driver" not in run("save", "-f", "-")
    (kernel.pf / "sriov_drivers_autoprobe").write_text("0\n")
    assert "[vf 0]\ndriver = none\n" in run("save", "-f", "-")


def test_save_of_a_driver_that_was_not_meant(run: Run, kernel: FakeKernel) -> None:
    """driver_override is for the next driver; what is saved is so already."""
    run("enable", PF, 1)
    (kernel.vf(0) / "driver_override").write_text("vfio-pci\n")
    run("save", "-f", run.file)
    assert "driver = nvme_rs\n" in run.file.read_text()
    assert run("apply", "-f", run.file) == f"{PF}: nothing to do\n"


def test_none_stays_none(run: Run, kernel: FakeKernel) -> None:
    """A VF that happens to have no driver gets none later, either."""
    run("enable", PF, 1)
    (kernel.vf(0) / "driver").unlink()
    text = f"[pf {PF}]\nvfs = 1\n[vf 0]\ndriver = none\n"
    assert run.apply(text) == f"{PF}: vf0: driver none\n"
    assert kernel.read(f"{DEVICES}/0000:01:00.1/driver_override") == "none"
    assert run.apply(text) == f"{PF}: nothing to do\n"


@pytest.mark.parametrize("command, complaint", [
    ("> /dev/full", "nvme-sriov: No space left on device (ENOSPC)\n"),
    ("| true", ""),
])
def test_output_to_nowhere(kernel: FakeKernel, command: str, complaint: str) -> None:
    """Where the output goes there is no room for it, or nobody reads it."""
    source = ("import sys, time; from nvme_sriov.program import main; from nvme_sriov.sysfs"
              f" import Sysfs; time.sleep(1); sys.exit(main(['list'], Sysfs('{kernel.root}')))")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"'{sys.executable}' -c \"{source}\" {command}"],
        env=os.environ | {"PYTHONPATH": str(TOOL)}, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, complaint)


def test_serial_of_two(run: Run, kernel: FakeKernel) -> None:
    """Controllers of one subsystem have one serial number, which then names none of them."""
    kernel.add_pf("0000:02:00.0", "nvme1")
    assert "several PFs have it" in run("save", "-f", "-", "--serial", status=1)
    said = run.apply("[pf serial=SN1]\nvfs = 1\n", PF, status=1)
    assert f"{run.file}:1: " in said and "several PFs have it" in said
    assert not kernel.writes


def test_list(run: Run, kernel: FakeKernel) -> None:
    run.apply(FILE)
    shown = run.json("list")
    assert shown == json.loads(run("list", PF, "-o", "json"))
    pf, = shown["physical_functions"]
    assert (pf["address"], pf["enabled_vfs"], pf["serial"]) == (PF, 3, "SN1")
    assert pf["queues"]["total"] == POOL
    assert pf["vfs"][0]["namespaces"] == [9, 10] and pf["vfs"][3]["address"] is None
    table = run("list")
    assert "vf0   0000:01:00.1  vfio-pci" in table and "9,10" in table


def test_list_of_nothing(run: Run, kernel: FakeKernel) -> None:
    """A machine without PFs is no failure, but there is nothing to save or to watch."""
    (kernel.root / DEVICES / PF).unlink()
    assert run("list") == "" and run.json("list") == {"physical_functions": []}
    for command in ("save", "top"):
        assert "no NVMe function with SR-IOV" in run(command, status=1)


def test_list_of_another_driver(run: Run, kernel: FakeKernel) -> None:
    """Without the folder nvme_sriov, a VF has a driver alone; and it cannot be set."""
    subprocess.run(["rm", "-r", kernel.pf / "nvme_sriov"], check=True)
    run("enable", PF, 1)
    assert run("list").splitlines()[-1].split() == ["vf0", "0000:01:00.1", "nvme_rs"]
    assert "Virtualization Management" in run("set", PF, "vf", 0, "queues", 2, status=2)


def test_top(run: Run, kernel: FakeKernel) -> None:
    run("enable", PF, 2)
    folder = kernel.vf(0) / "nvme/nvme5/nvme5c5n1"
    folder.mkdir(parents=True)
    (folder / "stat").write_text("10 0 80 1 5 0 40 1 3 1 1\n")
    shown = run.json("top", "-n", 1, "-d", "0.01")
    first, second = shown["vfs"]
    assert first["controller"] == "nvme5" and first["in_flight"] == 3
    assert first["reads"] == 0 and "reads" not in second
    header, *rows = run("top", "-n", 1, "-d", "0.01").splitlines()
    assert header.split()[0] == "PF" and rows[0].split()[-1] == "3"


def test_kernel_log(tmp_path: Path) -> None:
    """Errors come before warnings, and what was said before does not count."""
    path = tmp_path / "kmsg"
    path.write_text("3,1,1,-;nvme nvme0: before\n")
    with KernelLog(path) as log:
        with path.open("a") as out:
            out.write("4,2,1,-;nvme nvme0: warning\n3,3,1,-;nvme nvme01: other\n"
                      "6,4,1,-;nvme nvme0: notice\n3,5,1,-;nvme nvme0: error\n"
                      " SUBSYSTEM=nvme\n")
        assert log.complaints(["nvme0"]) == ["nvme nvme0: error"]
    with KernelLog(tmp_path / "missing") as log:
        assert not log.complaints(["nvme0"])


def test_names_of_pfs(kernel: FakeKernel) -> None:
    for name in (PF, "01:00.0", "nvme0", "/dev/nvme0", "serial=SN1"):
        assert find(kernel, name).address == PF
    for name, failure in (("01:00.1", Failure), ("serial=SN", Failure), ("x", Misuse)):
        with pytest.raises(failure):
            find(kernel, name)


@pytest.mark.parametrize("words", ["--force {} vf 0 queues 2", "{} --force vf 0 queues 2",
                                   "{} vf 0 queues 2 --force"])
def test_options_anywhere(run: Run, kernel: FakeKernel, words: str) -> None:
    run("set", *words.format(PF).split())
    assert kernel.read(f"{DEVICES}/{PF}/nvme_sriov/vf0/queues") == "2"
