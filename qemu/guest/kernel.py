# SPDX-License-Identifier: GPL-2.0
"""The kernel under test: the paths of its image and modules, and its parameters."""

import os
from dataclasses import dataclass
from pathlib import Path

PATIENCE = float(os.environ["NVME_RS_PATIENCE"])
"""The factor by which all time limits are longer, for slow kernels."""
PARAMETERS = os.environ["NVME_RS_PARAMETERS"]
"""Further parameters of the kernel."""


def times(count: int) -> int:
    """Returns how often a test repeats what it repeats ``count`` times on a fast kernel: on a slow
    one less often, so that it takes as long."""
    return max(2, round(count / PATIENCE))


@dataclass(frozen=True)
class Kernel:
    """A kernel that a guest can boot."""

    image: Path
    """The bzImage, as kexec wants it."""
    vmlinux: Path
    """What QEMU boots: the ELF file, if it has a PVH note, for it is not compressed, or the
    bzImage."""
    modules: Path
    """The folder of its modules, /lib/modules/ABI on an installed system."""
    abi: str
    """The output of ``uname -r``."""
    debian: Path | None
    """The folder of the Debian guest that has this kernel, if there is one."""

    @classmethod
    def from_environment(cls) -> "Kernel":
        """Returns the kernel that the environment of qemu/python names."""
        debian = os.environ["NVME_RS_DEBIAN"]
        return cls(
            image=Path(os.environ["NVME_RS_IMAGE"]),
            vmlinux=Path(os.environ["NVME_RS_VMLINUX"]),
            modules=Path(os.environ["NVME_RS_MODULES"]),
            abi=os.environ["NVME_RS_ABI"],
            debian=Path(debian) if debian else None,
        )
