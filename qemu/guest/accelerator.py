# SPDX-License-Identifier: GPL-2.0
"""Selects QEMU's accelerator: KVM where it works, else TCG.

It is not enough that /dev/kvm can be opened: some hosts emulate every instruction of a
KVM guest, which then takes minutes to boot. The probe is a guest without an operating
system that counts down a register; this takes a tenth of a second on hardware.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from guest.architecture import ARCHITECTURE, NATIVE

COUNTING = ("-accel", "tcg,thread=single", "-cpu", ARCHITECTURE.cpu,
            "-icount", "shift=0,sleep=on")
"""QEMU's options for emulation that counts instructions. An instruction takes one
nanosecond of guest time; while the guest idles, its time passes as fast as the host's."""

_LIMIT = 5.0
"""Seconds that the probe may take."""
_EXIT_PORT = 0x501
_DONE = 0x10

_COUNTDOWN = bytes([
    0x66, 0xb9, 0x00, 0x00, 0x00, 0x04,     # mov ecx, 0x04000000
    0x66, 0x49,                             # dec ecx
    0x75, 0xfc,                             # jnz back to dec
    0xba, _EXIT_PORT & 0xff, _EXIT_PORT >> 8,   # mov dx, _EXIT_PORT
    0xb0, _DONE,                            # mov al, _DONE
    0xee,                                   # out dx, al
    0xf4,                                   # hlt
])


def options() -> list[str]:
    """Returns QEMU's options for the best accelerator of this host."""
    if NATIVE and _kvm_works():
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", ARCHITECTURE.cpu]


def _kvm_works() -> bool:
    """Probes KVM, once for each boot of the host."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = Path(os.environ["NVME_RS_CACHE"]) / "kvm" / boot
    if not known.exists():
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text("yes" if _probe() else "no")
    return known.read_text() == "yes"


def _probe() -> bool:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    rom = bytearray(0x10000)
    rom[:len(_COUNTDOWN)] = _COUNTDOWN
    rom[0xfff0:0xfff3] = bytes([0xe9, 0x0d, 0x00])  # reset: jmp to 0
    with tempfile.NamedTemporaryFile() as bios:
        bios.write(rom)
        bios.flush()
        try:
            status = subprocess.run(
                ["qemu-system-x86_64", "-nodefaults", "-no-user-config",
                 "-display", "none", "-machine", "q35", "-accel", "kvm",
                 "-device", f"isa-debug-exit,iobase={_EXIT_PORT}",
                 "-bios", bios.name],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=_LIMIT, check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return False
    return status == _DONE << 1 | 1
