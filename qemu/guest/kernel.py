# SPDX-License-Identifier: GPL-2.0
"""The kernel under test: where its image and modules are, and what it has to be given."""

import os
from dataclasses import dataclass
from pathlib import Path

PATIENCE = float(os.environ["NVME_RS_PATIENCE"])
"""By how much all limits are longer than they say, for slow kernels."""
PARAMETERS = os.environ["NVME_RS_PARAMETERS"]
"""Further parameters of the kernel."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that a guest can boot."""

    image: Path
    """The bzImage."""
    modules: Path
    """The folder of its modules, /lib/modules/ABI on an installed system."""
    abi: str
    """What ``uname -r`` says in it."""

    @classmethod
    def from_environment(cls) -> "Kernel":
        """Returns the kernel that qemu/python was told to use."""
        return cls(
            image=Path(os.environ["NVME_RS_IMAGE"]),
            modules=Path(os.environ["NVME_RS_MODULES"]),
            abi=os.environ["NVME_RS_ABI"],
        )
