# SPDX-License-Identifier: GPL-2.0
"""Shows SR-IOV at work: boots a guest, enables VFs, verifies I/O on each."""

import argparse
import sys
import time
from dataclasses import dataclass

from guest.errors import MachineError
from guest.log import faults
from guest.machine import Machine, boot
from guest.shape import Shape
from guest.terminal import interact
from subject.controllers import Controller, interrupts
from subject.disks import private_disks
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.io import fio

SIZE_MIB = 8
"""The amount of data that is written to each disk and read back."""


@dataclass(frozen=True)
class Row:
    """A VF's row of the table."""

    number: int
    controller: Controller
    disk: str
    interrupts: int
    write: float
    read: float
    """MiB/s of the verification."""


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:5.1f} s] {text}", flush=True)


def exercise(machine: Machine, pf: PhysicalFunction) -> list[Row]:
    """Gives each VF a namespace of its own, and verifies I/O on all of them at once."""
    disks = private_disks(machine, pf)
    users = [vf.live() for vf in pf.vfs]
    say(f"writing {SIZE_MIB} MiB to each of {', '.join(disks)},"
        " and verifying it")
    before = [sum(interrupts(machine, user).values()) for user in users]
    jobs = fio(machine, *disks, size=f"{SIZE_MIB}m")
    return [
        Row(
            number=number,
            controller=vf.live(),
            disk=path,
            interrupts=sum(interrupts(machine, vf.live()).values()) - earlier,
            write=job["write"]["bw"] / 1024,
            read=job["read"]["bw"] / 1024,
        )
        for number, (vf, path, earlier, job) in enumerate(
            zip(pf.vfs, disks, before, jobs, strict=True), 1)
    ]


def show(rows: list[Row]) -> None:
    """Prints the table."""
    print(f"\n{'VF':>2}  {'PCI address':<12}  {'controller':<10}  {'state':<5}"
          f"  {'I/O queues':>10}  {'interrupts':>10}  {'disk':<12}"
          f"  {'write':>10}  {'verify':>10}")
    for row in rows:
        user = row.controller
        print(f"{row.number:>2}  {user.address:<12}  {user.name:<10}"
              f"  {user.state:<5}  {user.io_queues:>10}  {row.interrupts:>10}"
              f"  {row.disk:<12}  {row.write:>4.1f} MiB/s  {row.read:>4.1f} MiB/s")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(prog="qemu/run", description=__doc__)
    parser.add_argument("--vfs", type=int, default=4, metavar="N",
                        help="how many VFs to enable (%(default)s)")
    arguments = parser.parse_args()

    say("booting")
    machine = boot(Shape())
    try:
        say("insmod nvme_rs.ko")
        Driver(machine, "nvme_rs").load()
        pf = physical_functions(machine)[0]
        pf.live()
        say(f"echo {arguments.vfs} > {pf.sysfs}/sriov_numvfs")
        machine.run(f"echo {arguments.vfs} > {pf.sysfs}/sriov_numvfs")
        rows = exercise(machine, pf)
        machine.sync_log()
        if found := faults(machine.log.all()):
            raise MachineError("the kernel reports a fault:\n" + "\n".join(found))
        show(rows)
        if sys.stdin.isatty() and sys.stdout.isatty():
            print("A shell in the guest; Ctrl-] ends it.\n")
            interact(machine)
    except MachineError as error:
        print(f"\n{machine.log.all()}\n{error}", file=sys.stderr)
        return 1
    finally:
        machine.stop()
    return 0


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
