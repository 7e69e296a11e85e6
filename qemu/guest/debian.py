# SPDX-License-Identifier: GPL-2.0
"""A guest with Debian on a disk, which ``scripts/toolchain debian`` makes."""

import subprocess
from pathlib import Path

from guest.agent import Agent
from guest.errors import MachineError
from guest.image import MODULE, MODULE_IN_GUEST
from guest.kernel import Kernel

PARAMETERS = ("root=/dev/vda", "rw", "systemd.show_status=false")
"""Parameters of the kernel, for its initrd and for systemd."""
BOOT_LIMIT = 400.0
"""Seconds for booting; TCG on a busy host needs 100."""
_DISK = "debian.qcow2"


def _folder(kernel: Kernel) -> Path:
    if kernel.debian is None:
        raise MachineError("there is no Debian guest; scripts/toolchain debian makes it")
    return kernel.debian


def initrd(kernel: Kernel) -> Path:
    """Returns the initrd that Debian has made for the kernel."""
    return _folder(kernel) / "initrd"


def disk(kernel: Kernel, folder: Path) -> None:
    """Makes the guest's disk in ``folder``: what it changes of the one that all share."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
         "-b", str(_folder(kernel) / "disk"), str(folder / _DISK)], check=True)


def options(folder: Path) -> list[str]:
    """Returns QEMU's options for the disk."""
    return [
        "-blockdev", f"qcow2,node-name=debian,file.driver=file,"
                     f"file.filename={folder / _DISK},cache.no-flush=on",
        "-device", "virtio-blk-pci,drive=debian",
    ]


def provide(agent: Agent) -> None:
    """Puts the module that was built here into the guest."""
    agent.put(MODULE_IN_GUEST, MODULE.read_bytes())
