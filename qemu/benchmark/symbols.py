# SPDX-License-Identifier: GPL-2.0
"""The functions of a guest's kernel and modules, by address."""

import bisect
import subprocess
from collections import defaultdict
from typing import NamedTuple

from guest.executions import PROGRAMS
from guest.machine import Machine


class Function(NamedTuple):
    """A function, or all programs together."""

    name: str
    """The name in the source, with the types of generic parameters."""
    module: str
    """The module that it is in; empty for the kernel's image."""


class Cost(NamedTuple):
    """What a function costs, without those that it calls."""

    instructions: float
    calls: float


PROGRAM = Function("programs", "programs")


class Symbols:
    """The symbols that the kernel of a running guest has."""

    def __init__(self, machine: Machine) -> None:
        """Reads the symbols of the kernel, and of the modules that are loaded now."""
        path = "/run/symbols"
        machine.run(f"grep ' [tTwW] ' /proc/kallsyms > {path}")
        found = []
        for line in machine.get(path).decode().splitlines():
            address, _, name, *module = line.split()
            found.append((int(address, 16), name, module[0].strip("[]") if module else ""))
        # Of several names for one address, it is the same one in each guest.
        found.sort()
        names = _demangled([name for _, name, _ in found])
        self._addresses = [address for address, _, _ in found]
        self._functions = [Function(name, module)
                           for name, (_, _, module) in zip(names, found, strict=True)]

    def costs(self, executions: dict[int, float]) -> dict[Function, Cost]:
        """Returns what each function costs, of how often each instruction is executed. A call
        is an execution of the first instruction."""
        instructions: dict[Function, float] = defaultdict(float)
        calls: dict[Function, float] = defaultdict(float)
        for address, count in executions.items():
            at = bisect.bisect_right(self._addresses, address) - 1
            function = PROGRAM if address == PROGRAMS else self._functions[at]
            instructions[function] += count
            if address != PROGRAMS and self._addresses[at] == address:
                calls[function] += count
        return {function: Cost(count, calls[function])
                for function, count in instructions.items()}


def _demangled(names: list[str]) -> list[str]:
    """Returns the names as they are in the source, if they are Rust's."""
    return subprocess.run(["llvm-cxxfilt"], input="\n".join(names), text=True,
                          stdout=subprocess.PIPE, check=True).stdout.splitlines()
