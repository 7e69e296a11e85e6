# SPDX-License-Identifier: GPL-2.0
"""nvme-sriov in the guest."""

import io
import json
import shlex
import tarfile
from typing import Any

from guest.errors import CommandFailed
from guest.machine import Machine
from project import TOP

_SOURCE = TOP / "tools" / "nvme-sriov"
_FOLDER = "/root/nvme-sriov"


class Tool:
    """Runs nvme-sriov as it is in the sources."""

    program = f"python3 {_FOLDER}/nvme-sriov"
    """The command."""
    file = "/run/nvme-sriov.conf"
    """The file of apply()."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as out:
            for path in [_SOURCE / "nvme-sriov", *_SOURCE.rglob("*.py")]:
                out.add(path, str(path.relative_to(_SOURCE)))
        machine.put("/run/tool", archive.getvalue())
        machine.run(f"mkdir -p {_FOLDER} && tar -xzf /run/tool -C {_FOLDER}")

    def run(self, *arguments: object, status: int = 0) -> str:
        """Returns the command's complaint, or what it prints if it has none. Raises if its exit
        status is another one."""
        words = shlex.join(map(str, arguments))
        done = self._machine.run(f"{self.program} {words}", 120, check=False)
        if done.rc != status:
            raise CommandFailed(f"nvme-sriov {words}: {done.rc}, not {status}:"
                                f" {done.out}{done.err}")
        return done.err or done.out

    def json(self, *arguments: object) -> Any:
        """Returns what the command prints as JSON, when all is well."""
        return json.loads(self.run(*arguments, "--json"))

    def apply(self, text: str, *arguments: object, status: int = 0) -> str:
        """Applies a file."""
        self._machine.put(self.file, text.encode())
        return self.run("apply", "-f", self.file, *arguments, status=status)
