# SPDX-License-Identifier: GPL-2.0
"""Counts how often a guest executes each instruction of its kernel, by a plugin of QEMU's."""

import socket
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("executions.c")
_SOCKET = "executions"
PROGRAMS = 0
"""The address that stands for the instructions of all programs."""


def plugin(folder: Path) -> list[str]:
    """Compiles the plugin into a machine's folder, and returns QEMU's options for it."""
    compiled = folder / "executions.so"
    subprocess.run(
        ["gcc-14", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
         "-fvisibility=hidden", "-shared", "-fPIC", "-o", str(compiled), str(_SOURCE)],
        check=True)
    return ["-plugin", f"{compiled},socket={folder / _SOCKET}"]


def executions(folder: Path) -> dict[int, int]:
    """Returns how often each instruction was executed so far, by its address. The guest must be
    idle, since it goes on while its counts are read."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(folder / _SOCKET))
        with peer.makefile("rb") as stream:
            return dict(struct.iter_unpack("=QQ", stream.read()))
