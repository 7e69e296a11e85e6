# SPDX-License-Identifier: GPL-2.0
"""What ends a command: one line, and an exit status."""

import errno
import os


class Failure(Exception):
    """The command cannot be done."""

    status = 1


class Misuse(Failure):
    """The command line or the file is wrong. Nothing has been changed."""

    status = 2


def is_busy(failure: Failure) -> bool:
    """Returns whether it is because of EBUSY."""
    return isinstance(failure.__cause__, OSError) and failure.__cause__.errno == errno.EBUSY


def reason(error: OSError) -> str:
    """Returns an errno as words and by its name."""
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    return f"{os.strerror(number)} ({name})"
