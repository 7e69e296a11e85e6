# SPDX-License-Identifier: GPL-2.0
"""A folder of files that look like sysfs, and do what the kernel does with writes: nvme-sriov
without a guest."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project import TOP

TOOL = TOP / "tools" / "nvme-sriov"
sys.path.insert(0, str(TOOL))

from nvme_sriov.program import main  # noqa: E402
from nvme_sriov.sysfs import DEVICES, DRIVERS, Sysfs  # noqa: E402

PF = "0000:01:00.0"
TOTAL = 4
POOL = 12
LIMIT = 6
DRIVERS_OF_ALL = ("nvme_rs", "nvme")
"""Drivers that match by themselves, the first one first."""


class FakeKernel(Sysfs):
    """A PF with four VFs below a port, in files. Writes do what the kernel does."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writes: list[tuple[str, str]] = []
        """All writes that were tried, by the file's path below the folder of devices."""
        self.refused: dict[tuple[str, str], int] = {}
        """Writes that fail, once, with their errno."""
        self._unprobed: list[str] = []
        """VFs that were enabled while sriov_drivers_autoprobe was 0: the PCI core asks what it is
        a moment later, when it may be 1 again."""
        self.pf = root / f"sys/devices/pci0000:00/0000:00:02.0/{PF}"
        for driver in (*DRIVERS_OF_ALL, "vfio-pci"):
            (root / DRIVERS / driver).mkdir(parents=True)
            (root / DRIVERS / driver / "bind").touch()
            (root / DRIVERS / driver / "unbind").touch()
        (root / "sys/bus/pci/drivers_probe").touch()
        (root / DEVICES).mkdir(parents=True)
        (root / "dev").mkdir()
        (root / "dev/kmsg").touch()
        self._fill(self.pf, {
            "class": "0x010802", "vendor": "0x1b36", "device": "0x0010",
            "sriov_totalvfs": TOTAL, "sriov_numvfs": 0, "sriov_drivers_autoprobe": 1,
            "nvme/nvme0/serial": "SN1", "nvme/nvme0/model": "Fake",
            "nvme/nvme0/state": "live", "resource": "0x0 0x0 0x0\n" * 7
            + "0x4000 0x7fff 0x140204\n"})
        self._bind(self.pf, "nvme_rs")
        self._link(DEVICES, self.pf)
        self._link(DEVICES, self.pf.parent)
        for kind in ("queues", "interrupts"):
            self._fill(self.pf / "nvme_sriov" / kind, {
                "total": POOL, "primary": 0, "assigned": 0, "free": POOL, "vf_max": LIMIT,
                "granularity": 1})
        for index in range(TOTAL):
            self._fill(self.pf / f"nvme_sriov/vf{index}", {
                "queues": 0, "interrupts": 0, "namespaces": "", "attached": "1",
                "assigned_queues": 0, "assigned_interrupts": 0, "cntlid": index + 1,
                "state": "offline"})

    def add_pf(self, address: str, controller: str) -> None:
        """Adds another PF, of the same subsystem, that nobody writes to."""
        folder = self.pf.parent / address
        self._fill(folder, {"class": "0x010802", "sriov_totalvfs": 1, "sriov_numvfs": 0,
                            f"nvme/{controller}/serial": "SN1"})
        self._link(DEVICES, folder)

    def vf(self, index: int) -> Path:
        """Returns the folder of a VF's device."""
        return self.pf.parent / f"0000:01:00.{index + 1}"

    def driver(self, index: int) -> str | None:
        """Returns the driver of a VF."""
        return self.target(f"{DEVICES}/{self.vf(index).name}/driver")

    def state(self) -> list[object]:
        """Returns all that a command could change."""
        return [self.read(f"{DEVICES}/{PF}/sriov_numvfs"),
                self.read(f"{DEVICES}/{PF}/sriov_drivers_autoprobe")] + [
            (self.read(f"{DEVICES}/{PF}/nvme_sriov/vf{index}/{name}"), self.driver(index),
             self.read(f"{DEVICES}/{self.vf(index).name}/driver_override"))
            for index in range(TOTAL) for name in ("queues", "interrupts", "namespaces")]

    def store(self, path: str, value: str) -> None:
        short = path.removeprefix(f"{DEVICES}/")
        self.writes.append((short, value))
        if (short, value) in self.refused:
            self._say(f"nvme nvme0: refused {value}")
            self._fail(self.refused.pop((short, value)))
        folder, name = (self.root / path).parent, path.rpartition("/")[2]
        if not (self.root / path).exists():
            self._fail(errno.ENOENT)
        if name == "sriov_numvfs":
            self._enable(int(value))
        elif name in ("bind", "drivers_probe"):
            self._probe(value, None if name == "drivers_probe" else folder.name)
        elif name == "unbind":
            (self.root / DEVICES / value / "driver").unlink()
            return
        elif name in ("queues", "interrupts") and self.driver(int(folder.name[2:])):
            self._fail(errno.EBUSY)
        if name == "driver_override":
            value = value or "(null)"
        if name not in ("bind", "drivers_probe"):
            (self.root / path).write_text(f"{value}\n")
        if name == "sriov_drivers_autoprobe" and value == "1":
            unprobed, self._unprobed = self._unprobed, []
            for address in filter(lambda one: self.exists(f"{DEVICES}/{one}"), unprobed):
                # vfio-pci has been asked before, with the others that do not want to wait.
                if self.read(f"{DEVICES}/{address}/driver_override") != "vfio-pci":
                    self._probe(address, None)

    def _enable(self, count: int) -> None:
        enabled = self.number(f"{DEVICES}/{PF}/sriov_numvfs")
        if count and enabled:
            self._fail(errno.EBUSY)
        for index in range(enabled or 0):
            (self.pf / f"virtfn{index}").unlink()
            (self.root / DEVICES / self.vf(index).name).unlink()
            subprocess.run(["rm", "-r", self.vf(index)], check=True)
        for index in range(count):
            vf = self.vf(index)
            self._fill(vf, {"class": "0x010802", "vendor": "0x1b36", "device": "0x0010",
                            "driver_override": "(null)"})
            (vf / "physfn").symlink_to(self.pf)
            (self.pf / f"virtfn{index}").symlink_to(f"../{vf.name}")
            self._link(DEVICES, vf)
            if self.read(f"{DEVICES}/{PF}/sriov_drivers_autoprobe") == "1":
                self._probe(vf.name, None)
            else:
                self._unprobed.append(vf.name)

    def _probe(self, address: str, driver: str | None) -> None:
        """Binds a driver, or that which matches; asked for one, the kernel may fail."""
        vf = self.root / DEVICES / address
        override = self.read(f"{DEVICES}/{address}/driver_override")
        only = override if override not in ("", "(null)") else None
        if self.read(f"{DEVICES}/{PF}/sriov_drivers_autoprobe") == "0" and not only:
            if driver:
                self._fail(errno.ENODEV)
            return
        if (vf / "driver").is_symlink():
            return self._fail(errno.EBUSY) if driver else None
        matching = [only] if only else list(DRIVERS_OF_ALL)
        if driver and driver not in matching:
            self._fail(errno.ENODEV)
        if driver or self.exists(f"{DRIVERS}/{matching[0]}"):
            self._bind(vf, driver or str(matching[0]))

    def _bind(self, folder: Path, driver: str) -> None:
        (folder / "driver").symlink_to(self.root / DRIVERS / driver)

    def _say(self, text: str) -> None:
        with (self.root / "dev/kmsg").open("a") as log:
            log.write(f"3,1,1,-;{text}\n")

    def _fail(self, number: int) -> None:
        raise OSError(number, os.strerror(number))

    def _link(self, folder: str, target: Path) -> None:
        (self.root / folder / target.name).symlink_to(target)

    def _fill(self, folder: Path, files: dict[str, object]) -> None:
        for name, value in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{value}\n")


class Run:
    """Runs the tool on the fake kernel."""

    def __init__(self, kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
        self._kernel = kernel
        self._capsys = capsys
        self.file = kernel.root / "file"

    def __call__(self, *arguments: object, status: int = 0) -> str:
        """Returns what the tool prints; what it complains about, if it is to fail."""
        assert main(list(map(str, arguments)), self._kernel) == status
        out, err = self._capsys.readouterr()
        if not status:
            assert not err
            return out
        assert err.startswith("nvme-sriov: ") and err.count("\n") == 1
        return err

    def json(self, *arguments: object, status: int = 0) -> Any:
        """Returns what the tool prints as JSON."""
        assert main([*map(str, arguments), "--json"], self._kernel) == status
        return json.loads(self._capsys.readouterr().out)

    def apply(self, text: str, *arguments: object, status: int = 0) -> str:
        """Applies a file."""
        self.file.write_text(text)
        return self("apply", "-f", self.file, *arguments, status=status)
