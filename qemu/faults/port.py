# SPDX-License-Identifier: GPL-2.0
"""Ports that stop forwarding."""

from collections.abc import Iterator
from contextlib import contextmanager

from guest.machine import Machine
from subject.functions import PhysicalFunction


@contextmanager
def cut_off(machine: Machine, function: PhysicalFunction) -> Iterator[None]:
    """Makes a function unreachable within the block.

    The port above it decodes no memory (the Command register) and has no bus below it
    (Secondary Bus Number).
    """
    port = machine.run(f"realpath {function.sysfs}/..").out.strip()
    registers = {0x04: "command", 0x19: "secondary bus"}
    config = machine.get(f"{port}/config")
    def write(values: dict[int, int]) -> None:
        machine.run("; ".join(
            rf"printf '\x{value:02x}' |"
            f" dd of={port}/config bs=1 seek={offset} conv=notrunc"
            for offset, value in values.items()))
    write(dict.fromkeys(registers, 0))
    yield
    write({offset: config[offset] for offset in registers})
