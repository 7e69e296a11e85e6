# SPDX-License-Identifier: GPL-2.0
"""The literal blocks of a document.

A comment before a block says what becomes of it: which walk-throughs it belongs to, whose blocks
are in the order of the document, or why it belongs to none::

    .. run: machine, libvirt

    .. not run: needs an account there
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from project import TOP

_COMMENT = re.compile(r"\s*\.\. (?P<not>not )?run: (?P<said>.+)")
_PROMPT = re.compile(r"[#$] ")


@dataclass(frozen=True)
class Step:
    """A command, and the output that the document shows."""

    prompt: str
    """``#`` for root's, ``$`` for any user's."""
    command: str
    output: str
    """Empty, if the document shows none."""
    line: int


@dataclass(frozen=True)
class Block:
    """A literal block."""

    line: int
    text: str
    walks: tuple[str, ...]
    """The walk-throughs that it belongs to."""
    reason: str | None
    """Why it belongs to none, if the document says so."""

    @property
    def steps(self) -> list[Step]:
        """Returns the commands, which have a prompt, and may go on after a backslash."""
        found: list[Step] = []
        goes_on = False
        for number, line in enumerate(self.text.splitlines(), self.line):
            if goes_on:
                last = found.pop()
                found.append(replace(last, command=f"{last.command}\n{line}"))
            elif _PROMPT.match(line):
                found.append(Step(line[0], line[2:], "", number))
            else:
                last = found.pop()
                found.append(replace(last, output=f"{last.output}{line}\n"))
                continue
            goes_on = line.endswith("\\")
        return found


def blocks(path: Path) -> Iterator[Block]:
    """Yields the literal blocks of a document."""
    lines = path.read_text().splitlines()
    mark: re.Match[str] | None = None
    index = 0
    while index < len(lines):
        line = lines[index]
        mark = _COMMENT.fullmatch(line) or mark
        index += 1
        if not line.endswith("::"):
            continue
        margin = _margin(line)
        while not lines[index].strip():
            index += 1
        start = index
        while index < len(lines) and (not lines[index].strip() or _margin(lines[index]) > margin):
            index += 1
        text = textwrap.dedent("\n".join(lines[start:index])).strip("\n")
        said = mark["said"] if mark else ""
        if mark and mark["not"]:
            yield Block(start + 1, text, (), said)
        else:
            yield Block(start + 1, text, tuple(filter(None, said.split(", "))), None)
        mark = None


def document(name: str) -> list[Block]:
    """Returns the blocks of a document in Documentation."""
    return list(blocks(TOP / "Documentation" / name))


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def main() -> None:
    """Prints the commands of a walk-through that have a prompt: ``#`` for root, or ``$``."""
    name, walk, prompt = sys.argv[1:]
    for block in document(name):
        for step in block.steps if walk in block.walks else []:
            if step.prompt == prompt:
                print(step.command)


if __name__ == "__main__":
    main()
