# SPDX-License-Identifier: GPL-2.0
"""nvme-core's controllers."""

import re
from dataclasses import dataclass

from guest.machine import Machine


@dataclass(frozen=True)
class Controller:
    """A controller of nvme-core, as its sysfs folder describes it."""

    name: str
    """nvme0, say."""
    address: str
    """The PCI address of its function."""
    state: str
    """live, once it serves I/O."""
    io_queues: int
    cntlid: int


def controllers(machine: Machine) -> dict[str, Controller]:
    """Returns the controllers of nvme-core by their PCI address."""
    # The shell does all of it, as under TCG each process costs 10 ms. A controller that
    # is being removed may lack an attribute.
    found = machine.run(
        "for c in /sys/class/nvme/nvme*; do"
        " read address < $c/address && read state < $c/state &&"
        " read queues < $c/queue_count && read cntlid < $c/cntlid &&"
        " echo ${c##*/} $address $queues $cntlid $state; done 2>/dev/null",
        check=False).out
    result = {}
    for line in found.splitlines():
        # The state may have several words.
        name, address, queues, cntlid, state = line.split(maxsplit=4)
        result[address] = Controller(
            name, address, state, max(int(queues) - 1, 0), int(cntlid))
    return result


def interrupts(machine: Machine, controller: Controller) -> dict[str, int]:
    """Returns the count of each interrupt of ``controller``, by its name."""
    counts = {}
    for line in machine.read("/proc/interrupts").splitlines():
        fields = line.split()
        if re.fullmatch(rf"{controller.name}q\d+", fields[-1]):
            counts[fields[-1]] = sum(
                int(field) for field in fields[1:] if field.isdigit())
    return counts
