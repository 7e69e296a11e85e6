# SPDX-License-Identifier: GPL-2.0
"""What the kernel says while something is done."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

_RECORD = re.compile(r"(\d+),\d+,\d+,[^;]*;(.*)")
_ERROR, _WARNING = 3, 4
_LONGEST = 8192


class KernelLog:
    """The records that /dev/kmsg gets after this is made. Empty if it cannot be read."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._file = -1
            return
        os.lseek(self._file, 0, os.SEEK_END)

    def __enter__(self) -> "KernelLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    def complaints(self, names: Iterable[str]) -> list[str]:
        """Returns the errors about devices of these names; without any, the warnings."""
        wanted = re.compile("|".join(rf"(?<![\w.:]){re.escape(name)}(?!\w)" for name in names))
        found: dict[int, list[str]] = {}
        for record in self._records():
            parsed = _RECORD.match(record)
            if parsed and wanted.search(parsed[2]):
                level = int(parsed[1]) & 7
                kind = _ERROR if level <= _ERROR else level
                found.setdefault(kind, []).append(parsed[2])
        return found.get(_ERROR) or found.get(_WARNING) or []

    def _records(self) -> Iterable[str]:
        while self._file >= 0:
            try:
                record = os.read(self._file, _LONGEST)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # Records were overwritten before they were read.
                continue
            except OSError:
                return
            if not record:
                return
            yield from record.decode(errors="replace").splitlines()
