# SPDX-License-Identifier: GPL-2.0
"""I/O by fio."""

import json
import os
import shlex
from typing import Any

from guest.machine import Machine
from subject.controllers import Controller, interrupts


def fio(machine: Machine, *disks: str, timeout: float = 120,
        **options: object) -> list[dict[str, Any]]:
    """Runs fio on all ``disks`` at once, and returns its results for each job.

    ``options`` are fio's, by default 4 KiB random writes of 8 MiB, 32 at a time,
    each read back and verified. A bad checksum raises.
    """
    output = "/run/fio.json"
    machine.run(fio_command(*disks, output=output, **options), timeout)
    said = machine.read(output)
    # fio may print notes before the JSON.
    jobs: list[dict[str, Any]] = json.loads(said[said.index("{"):])["jobs"]
    return jobs


def fio_command(*disks: str, **options: object) -> str:
    """Returns the command line for fio()."""
    common: dict[str, object] = {
        "ioengine": "io_uring", "direct": 1, "rw": "randwrite", "bs": "4k",
        "size": "8m", "iodepth": 32, "verify": "crc32c", "verify_fatal": 1,
        # fio must not create a file in /dev in place of a disk that is gone.
        "allow_file_create": 0,
        "output-format": "json",
    } | options
    arguments = [f"--{key}={value}" for key, value in common.items()]
    for path in disks:
        arguments += [f"--name={os.path.basename(path)}", f"--filename={path}"]
    return shlex.join(["fio", *arguments])


def start_io(machine: Machine, controller: Controller, device: str,
             **options: object) -> int:
    """Starts fio on a disk of ``controller``, waits until the controller has interrupted,
    and returns the process."""
    def count() -> int:
        return sum(interrupts(machine, controller).values())
    idle = count()
    process = machine.spawn(fio_command(device, **options))
    machine.wait_for(lambda: count() > idle + 10, "I/O")
    return process
