# SPDX-License-Identifier: GPL-2.0
"""Access to the kernel's files."""

import os
from collections.abc import Iterable
from pathlib import Path

from nvme_sriov.failure import Failure, reason
from nvme_sriov.kernel_log import KernelLog

DEVICES = "sys/bus/pci/devices"
DRIVERS = "sys/bus/pci/drivers"


class Sysfs:
    """The files of the kernel, below ``root``."""

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(root)

    def read(self, path: str) -> str | None:
        """Returns a file's text without white space at its ends; None if it cannot be
        read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None

    def data(self, path: str) -> bytes:
        """Returns a file's bytes; none if it cannot be read."""
        try:
            return (self.root / path).read_bytes()
        except OSError:
            return b""

    def number(self, path: str) -> int | None:
        """Returns the number in a file; None if there is none."""
        try:
            return int(self.read(path) or "", 0)
        except ValueError:
            return None

    def exists(self, path: str) -> bool:
        """Returns whether there is such a file."""
        return (self.root / path).exists()

    def names(self, folder: str) -> list[str]:
        """Returns the names in a folder, sorted; none if there is no such folder."""
        try:
            return sorted(os.listdir(self.root / folder))
        except OSError:
            return []

    def target(self, link: str) -> str | None:
        """Returns the last part of what a link points to; None if there is no link."""
        try:
            return os.path.basename(os.readlink(self.root / link))
        except OSError:
            return None

    def real(self, path: str) -> str:
        """Returns a path without links in it, relative to the root."""
        return str((self.root / path).resolve().relative_to(self.root.resolve()))

    def store(self, path: str, value: str) -> None:
        """Writes a file, in one write. Raises OSError."""
        file = os.open(self.root / path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, f"{value}\n".encode())
        finally:
            os.close(file)

    def write(self, path: str, value: str, what: str, names: Iterable[str]) -> None:
        """Writes a file. Raises Failure, which says what could not be done, the errno, and
        what the kernel says of devices of these names."""
        with KernelLog(self.root / "dev/kmsg") as log:
            try:
                self.store(path, value)
            except OSError as error:
                said = [f"kernel: {line}" for line in log.complaints(names)]
                raise Failure("; ".join([f"{what}: {reason(error)}", *said])) from error
