# SPDX-License-Identifier: GPL-2.0
"""The same scripts under nvme_rs and under the kernel's own driver."""

import re

from guest.machine import Machine
from subject.controllers import controllers
from subject.disks import disk
from subject.driver import Driver

OURS = "nvme_rs"
BOTH = OURS, "nvme"

Outcome = dict[str, list[str]]
"""The output of each part of a script, with its exit status as the last line."""

VARYING = re.compile(
    r"""
      (?<=host_read_commands)\s.* | (?<=Data\ Units\ Read).*    # counters
    | (?<=/stat:).*                 # times
    | (?<=^a[sc]q\ {5}:\s).* | (?<=Queue\ Base\ \(A[SC]QB\):).*   # addresses of memory
    | (?<=/diskseq:)\d+ | (?<=DISKSEQ=)\d+                      # counts all disks
    | (?<=/bus/pci/drivers/)\w+ | (?<=uevent:DRIVER=)\w+
    | (?<=\./pools:nvme).*           # the driver's names
    """, re.VERBOSE)
"""What differs from one load of a driver to the next."""
OWN = re.compile(r"/(nvme_sriov|sriov_vf_total_msix|parameters/sriov_vfs)\b")
"""Files that only nvme_rs has, or supports: those of SR-IOV."""

LIST = r"""list() {
    find "$@" -exec stat -c '%A %N' {} + | sort -k 2
    find "$@" -type f -perm -400 -exec grep -H '' {} + 2>&1 | sort
}
"""
"""A function of the scripts: names, permissions and values of the files that find finds."""


def outcomes(machine: Machine, name: str, script: dict[str, str],
             parameters: str) -> Outcome:
    """Runs a script under a driver."""
    driver = Driver(machine, name)
    driver.load(parameters)
    controller, = controllers(machine).values()
    device = disk(machine, controller, 1)
    generic = device.replace("nvme", "ng")
    lines = [f"M={name} C=/dev/{controller.name} D={device} G={generic}", LIST]
    for part, commands in script.items():
        lines += [f"echo '### {part}'", f"( {commands} ) 2>&1", "echo status $?"]
    machine.put("/run/script", "\n".join(lines).encode())
    out = machine.run("sh /run/script", 200).out
    driver.unload()
    found: Outcome = {}
    for line in out.splitlines():
        if line.startswith("### "):
            found[line[4:]] = said = []
        elif not OWN.search(line):
            said.append(VARYING.sub("...", line))
    return found


def both(machine: Machine, script: dict[str, str], parameters: str = "") -> Outcome:
    """Runs a script under both drivers, checks that the outcomes agree, and returns them."""
    ours, theirs = (outcomes(machine, name, script, parameters) for name in BOTH)
    for part in script:
        assert ours[part] == theirs[part], part
    return ours
