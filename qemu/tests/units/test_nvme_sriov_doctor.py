# SPDX-License-Identifier: GPL-2.0
"""What nvme-sriov finds wrong with a folder of files that look like sysfs."""

import subprocess

import pytest

from subject.fake_kernel import DEVICES, DRIVERS, PF, FakeKernel, Run


def config(header: dict[int, int], extended: dict[int, int] | None = None) -> bytes:
    """Returns a configuration space with these bytes."""
    space = bytearray(4096)
    for offset, value in (header | (extended or {})).items():
        space[offset] = value
    return bytes(space)


SRIOV = {0x100: 0x10, 0x102: 1, 0x114: 1, 0x116: 1}
"""An SR-IOV capability with First VF Offset and VF Stride 1."""


def healthy(kernel: FakeKernel) -> None:
    """Makes a machine on which nothing is wrong."""
    (kernel.root / "sys/module/nvme_rs").mkdir(parents=True)
    (kernel.root / "sys/module/nvme_rs/taint").write_text("O\n")
    (kernel.pf / "config").write_bytes(config({}, SRIOV))
    # A root port (its capability at 0x40) with ACS.
    (kernel.pf.parent / "config").write_bytes(config(
        {0x0e: 1, 0x1a: 1, 0x34: 0x40, 0x40: 0x10, 0x42: 0x42},
        {0x100: 0x0d, 0x102: 1, 0x106: 0x1d}))
    (kernel.pf / "iommu_group").symlink_to("/groups/1")


def doctor(run: Run, status: int = 0) -> list[tuple[str, str]]:
    """Returns grade and text of what the doctor finds, but for what is as it should be."""
    found = run.json("doctor", status=status)["findings"]
    for one in found:
        assert bool(one["advice"]) == (one["grade"] != "ok")
    return [(one["grade"], one["text"]) for one in found if one["grade"] != "ok"]


def test_doctor_of_a_healthy_machine(run: Run, kernel: FakeKernel) -> None:
    healthy(kernel)
    assert not doctor(run)
    assert run("doctor").startswith("ok       nvme_rs: loaded\n")


def write(path: str, content: str | bytes) -> object:
    """Returns what writes a file of the fake kernel."""
    def act(kernel: FakeKernel) -> None:
        target = kernel.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return act


def remove(path: str) -> object:
    """Returns what removes a file of the fake kernel."""
    def act(kernel: FakeKernel) -> None:
        subprocess.run(["rm", "-r", kernel.root / path], check=True)
    return act


PORT_CONFIG = f"{DEVICES}/0000:00:02.0/config"


@pytest.mark.parametrize("harm, grade, text", [
    (remove("sys/module/nvme_rs"), "error", "not loaded"),
    (write("sys/module/nvme_rs/taint", "OE"), "warning", "signature"),
    (remove(f"{DEVICES}/{PF}/driver"), "error", "its driver is missing"),
    (write(f"{DEVICES}/{PF}/nvme/nvme0/state", "dead"), "error", "dead, not live"),
    (write(f"{DEVICES}/{PF}/sriov_drivers_autoprobe", "0"), "warning", "autoprobe"),
    (write(f"{DEVICES}/{PF}/nvme_sriov/queues/total", "1"), "error", "a VF needs 2"),
    (write(f"{DEVICES}/{PF}/nvme_sriov/queues/total", "7"), "warning", "for 3 of 4 VFs"),
    (remove(f"{DEVICES}/{PF}/iommu_group"), "warning", "no IOMMU"),
    (write(PORT_CONFIG, config({0x0e: 1, 0x1a: 1, 0x34: 0x40, 0x40: 0x10, 0x42: 0x42})),
     "warning", "0000:00:02.0 above it has no ACS"),
    (write(PORT_CONFIG, config({0x0e: 1, 0x1a: 1, 0x34: 0x40, 0x40: 0x10, 0x42: 0x42},
                               {0x100: 0x0d, 0x102: 1, 0x106: 1})),
     "warning", "or has it not enabled"),
    (write(PORT_CONFIG, b"\0" * 64), "unknown", "ACS of 0000:00:02.0"),
    # A stride of 256: each VF is on a bus of its own.
    (write(f"{DEVICES}/{PF}/config", config({}, SRIOV | {0x116: 0, 0x117: 1})), "warning",
     "needs bus 04, and the bridge above has buses up to 01: there is room for 1 VFs"),
    (write(f"{DEVICES}/{PF}/config", config({}, SRIOV | {0x115: 1})), "error",
     "there is room for 0 VFs"),
    (write(f"{DEVICES}/{PF}/config", b"\0" * 64), "unknown", "SR-IOV capability"),
    (write(f"{DEVICES}/{PF}/resource", "0x0 0x0 0x0\n" * 7 + "0x0 0x3fff 0x140204\n"),
     "error", "VF BAR 0 has no memory window"),
    (write("etc/modprobe.d/vfio.conf", "options vfio-pci ids=1b36:0010\n"), "error",
     "/etc/modprobe.d/vfio.conf gives vfio-pci the id 1b36:0010"),
    (write("proc/cmdline", "quiet vfio-pci.ids=10de:1,1b36:0010\n"), "error",
     "command line gives vfio-pci the id"),
    (write(f"etc/driverctl.d/{PF}", "vfio-pci\n"), "warning", "driverctl"),
])
def test_doctor(run: Run, kernel: FakeKernel, harm: object, grade: str, text: str) -> None:
    healthy(kernel)
    assert callable(harm)
    harm(kernel)
    found = doctor(run, int(grade == "error"))
    assert len(found) == 1 and found[0][0] == grade and text in found[0][1], found


def test_doctor_of_enabled_vfs(run: Run, kernel: FakeKernel) -> None:
    """VFs in one group, and a VF that vfio-pci has by its id."""
    healthy(kernel)
    run("enable", PF, 2)
    for index in range(2):
        (kernel.vf(index) / "iommu_group").symlink_to("/groups/17")
        (kernel.root / "sys/kernel/iommu_groups/17/devices" / kernel.vf(index).name).mkdir(
            parents=True)
    (kernel.vf(1) / "driver").unlink()
    (kernel.vf(1) / "driver").symlink_to(kernel.root / DRIVERS / "vfio-pci")
    texts = [text for _, text in doctor(run)]
    assert len(texts) == 3 and "in one IOMMU group with 0000:01:00.2" in texts[0]
    assert "in one IOMMU group with 0000:01:00.1" in texts[1] and "1b36:0010" in texts[2]
