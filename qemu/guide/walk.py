# SPDX-License-Identifier: GPL-2.0
"""A walk-through, step by step in a guest."""

import doctest
import shlex

from guest.errors import MachineError
from guest.machine import Machine
from guide.document import Block

_OUTPUT = doctest.OutputChecker()
_FOLDER = "/run/walk.folder"
_LIMIT = 600.0
"""Seconds that a command may take."""


class Walk:
    """A shell that goes through blocks. It keeps its folder from one command to the next."""

    def __init__(self, machine: Machine, replaced: dict[str, str] | None = None) -> None:
        """``replaced`` has what the guide leaves to its reader, and what the reader puts there."""
        self._machine = machine
        self._replaced = replaced or {}
        self._folder = "/root"

    def go(self, block: Block) -> None:
        """Runs each command of a block. Raises if one fails, or says something else than the
        document shows. In what is shown, ``...`` stands for anything."""
        for step in block.steps:
            command = step.command
            for old, new in self._replaced.items():
                command = command.replace(old, new)
            where = f"line {step.line}: {command}"
            result = self._machine.run(
                f"cd {shlex.quote(self._folder)} && {{ {command}\n}} && pwd > {_FOLDER}",
                _LIMIT, check=False)
            if result.rc:
                raise MachineError(f"{where}\nexit status {result.rc}\n{result.out}{result.err}")
            self._folder = self._machine.read(_FOLDER)
            if step.output and not _OUTPUT.check_output(step.output, result.out,
                                                        doctest.ELLIPSIS
                                                        | doctest.NORMALIZE_WHITESPACE):
                raise MachineError(f"{where}\nsaid\n{result.out}but shown is\n{step.output}")
