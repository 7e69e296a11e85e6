# SPDX-License-Identifier: GPL-2.0
"""The file that says what PFs are to be like.

Lines are ``[pf NAME]``, ``[vf NUMBER]`` and ``KEY = VALUE``; a VF is one of the last PF. Empty lines
and those that begin with ``#`` or ``;`` are comments.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nvme_sriov.declaration import Declaration
from nvme_sriov.failure import Failure, Misuse, reason
from nvme_sriov.physical import BY_SERIAL, PhysicalFunction, check_name, find
from nvme_sriov.setting import NO_DRIVER, Setting, number, parse

DEFAULT = "/etc/nvme-sriov.conf"
STANDARD = "-"
"""The name that stands for standard input and output."""

_SECTION = re.compile(r"\[\s*(\S+)\s+(.*?)\s*\]")
_MOST_VFS = 65535
_KEYS = ("queues", "interrupts", "namespaces", "driver")


@dataclass(frozen=True)
class Section:
    """What the file says of one PF."""

    line: int
    name: str
    """The address or controller of the PF, or ``serial=`` and its serial number."""
    wanted: Declaration


class _Reader:
    """Reads a file line by line."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._pf: tuple[int, str] | None = None
        self._count: int | None = None
        self._settings: dict[int, Setting] = {}
        self._lines: dict[int, int] = {}
        self._vf: int | None = None
        self._seen: set[str] = set()
        self.line = 0

    def take(self, text: str) -> None:
        """Takes the next line."""
        self.line += 1
        text = text.strip()
        if not text or text[0] in "#;":
            return
        if text[0] == "[":
            self._section(text)
        else:
            self._value(text)

    def end(self) -> None:
        """Completes what has been said of the PF."""
        if self._pf is None:
            return
        line, name = self._pf
        if self._count is None:
            self.line = line
            raise ValueError(f"'vfs = NUMBER' is missing for {name}")
        for index, where in self._lines.items():
            if index >= self._count and self._settings[index].driver:
                self.line = where
                raise ValueError(f"VF {index} has a driver, and only VFs below {self._count}"
                                 " are enabled")
        self.sections.append(Section(line, name, Declaration(self._count, self._settings)))
        self._pf = None

    def _section(self, text: str) -> None:
        found = _SECTION.fullmatch(text)
        if not found or found[1] not in ("pf", "vf"):
            raise ValueError(f"'{text}' is neither '[pf NAME]' nor '[vf NUMBER]'")
        if found[1] == "pf":
            self._begin(found[2])
            return
        if self._pf is None:
            raise ValueError("a VF without a '[pf NAME]' before it")
        index = number(found[2])
        if index in self._settings:
            raise ValueError(f"VF {index} is there twice")
        self._vf, self._seen = index, set()
        self._settings[index] = Setting()
        self._lines[index] = self.line

    def _begin(self, name: str) -> None:
        self.end()
        name = name if name.startswith(BY_SERIAL) else name.lower()
        check_name(name)
        if name in [section.name for section in self.sections]:
            raise ValueError(f"{name} is there twice")
        self._pf = (self.line, name)
        self._count, self._settings, self._lines = None, {}, {}
        self._vf, self._seen = None, set()

    def _value(self, text: str) -> None:
        key, equals, words = (part.strip() for part in text.partition("="))
        if not equals:
            raise ValueError(f"'{text}' is not 'KEY = VALUE'")
        if self._pf is None:
            raise ValueError(f"'{key}' without a '[pf NAME]' before it")
        if key in self._seen:
            raise ValueError(f"'{key}' is there twice")
        self._seen.add(key)
        if self._vf is not None:
            value = parse(key, words)
            self._settings[self._vf] = replace(self._settings[self._vf], **{key: value})
        elif key == "vfs":
            self._count = number(words)
            if self._count > _MOST_VFS:
                raise ValueError(f"no PF has {self._count} VFs")
        else:
            raise ValueError(f"'{key}' is not 'vfs'; others belong below '[vf NUMBER]'")


def parse_lines(lines: Iterable[str], name: str) -> list[Section]:
    """Returns what the lines of a file say. Raises Misuse with name and line."""
    reader = _Reader()
    try:
        for line in lines:
            reader.take(line)
        reader.end()
    except (ValueError, Misuse) as error:
        raise Misuse(f"{name}:{reader.line}: {error}") from error
    return reader.sections


def load(name: str) -> list[Section]:
    """Reads the file."""
    try:
        text = Path("/dev/stdin" if name == STANDARD else name).read_text()
    except OSError as error:
        raise Failure(f"{name}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise Misuse(f"{name}: not a text file") from error
    return parse_lines(text.splitlines(), name)


def describe(pf: PhysicalFunction, by_serial: bool) -> list[str]:
    """Returns the lines that say what a PF is like."""
    if by_serial:
        if not pf.serial:
            raise Failure(f"{pf}: its serial number cannot be read")
        find(pf.sysfs, f"{BY_SERIAL}{pf.serial}")
    lines = [f"[pf {BY_SERIAL}{pf.serial}]" if by_serial else f"[pf {pf.address}]",
             f"vfs = {pf.enabled}"]
    for vf in pf.vfs:
        setting = vf.setting
        # A driver that matches by itself needs no word, and may come a moment later.
        driver = vf.reservation
        if not driver and vf.address and not vf.driver and not pf.probes:
            driver = NO_DRIVER
        setting = replace(setting, driver=driver)
        if setting != Setting():
            lines += ["", f"[vf {vf.index}]"]
            lines += [f"{key} = {setting.words(key)}" for key in _KEYS
                      if getattr(setting, key)]
    return [*lines, ""]


def save(name: str, lines: list[str]) -> None:
    """Writes the file, all of it or nothing."""
    text = "\n".join(lines)
    if name == STANDARD:
        print(text, end="")
        return
    try:
        if os.path.exists(name) and not os.path.isfile(name):
            # A device or a pipe stays what it is.
            Path(name).write_text(text)
        else:
            _replace(os.path.realpath(name), text)
    except OSError as error:
        raise Failure(f"{name}: {reason(error)}") from error


def _replace(path: str, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as out:
        try:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
            os.fchmod(out.fileno(), 0o644)
            os.rename(out.name, path)
        except BaseException:
            os.unlink(out.name)
            raise
