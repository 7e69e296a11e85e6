# SPDX-License-Identifier: GPL-2.0
"""The architecture of the guests: QEMU's machine for it, and what its kernel wants."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """An architecture that guests can have."""

    compiler: str
    """The compiler of its programs."""
    emulator: str
    """QEMU's program."""
    machine: str
    """The properties of its machine, which has PCI Express."""
    translated: str
    """Further properties of a machine with an IOMMU."""
    cpu: str
    """The properties of the best emulated CPU."""
    console: str
    """The serial console, by the kernel's name."""
    has_nmi: bool
    """Whether the machine has an NMI that makes its kernel panic."""
    parameters: tuple[str, ...] = ()
    """Parameters of the kernel."""
    translated_parameters: tuple[str, ...] = ()
    """Further ones, on a machine with an IOMMU."""
    iommu: tuple[str, ...] = ()
    """QEMU's options for an IOMMU that is a device."""
    notifies: bool = False
    """Whether the IOMMU tells QEMU of what is mapped, as controllers outside of QEMU need."""


_ALL = {
    "amd64": Architecture(
        compiler="gcc-14", emulator="qemu-system-x86_64", machine="q35", translated="",
        # Five levels of page tables would cost time.
        cpu="max,la57=off", console="ttyS0", has_nmi=True,
        parameters=(
            # Emulator.where() ends a guest that does not react by an NMI.
            "unknown_nmi_panic",
            # On a busy host, an emulated timer may miss the ticks that the kernel counts in
            # boot.
            "no_timer_check",
            # For EDD, the BIOS reads a whole block into a buffer of 512 bytes, also a larger
            # one.
            "edd=off",
        ),
        translated_parameters=("intel_iommu=on",),
        iommu=("-device", "intel-iommu,intremap=on,caching-mode=on"),
        notifies=True),
    "arm64": Architecture(
        compiler="aarch64-linux-gnu-gcc-14", emulator="qemu-system-aarch64",
        machine="virt,gic-version=3,its=on", translated=",iommu=smmuv3",
        # The architecture's own pointer authentication takes half of the time.
        cpu="max,pauth-impdef=on", console="ttyAMA0", has_nmi=False,
        parameters=(
            # Else the kernel puts the port of an empty slot in D3, from which QEMU's sends no PME.
            "pcie_port_pm=off",
        )),
}

ARCHITECTURE = _ALL[os.environ["NVME_RS_ARCHITECTURE"]]
"""The architecture of the kernel under test."""
NATIVE = os.environ["NVME_RS_ARCHITECTURE"] == "amd64"
"""Whether it is the host's."""
