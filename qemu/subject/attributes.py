# SPDX-License-Identifier: GPL-2.0
"""Writes to sysfs attributes, which the kernel may refuse."""

import errno
import os
import shlex

from guest.machine import Machine

_ERRNO = {os.strerror(number): number for number in errno.errorcode}


def write(machine: Machine, path: str, value: object, timeout: float = 60) -> int:
    """Writes a sysfs file, and returns the errno, or 0."""
    result = machine.run(
        f"echo {shlex.quote(str(value))} > {path}", timeout, check=False)
    return _ERRNO[result.err.strip().rpartition(": ")[2]] if result.rc else 0
