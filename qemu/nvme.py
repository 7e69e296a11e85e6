# SPDX-License-Identifier: GPL-2.0
"""NVMe as the guest's administrator sees it: sysfs, nvme-cli and fio."""

import errno
import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from guest.errors import CommandFailed
from guest.image import MODULE_IN_GUEST
from guest.log import faults
from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID
from leaks import check_mappings

_ERRNO = {os.strerror(number): number for number in errno.errorcode}
_NVME = "0x010802"
"""The class code of an NVMe I/O controller."""
_GO, _COMPLAINTS = "/run/go-on", "/run/complaints"
"""What repeated() goes on for, and what its commands have to say."""
_UNBALANCED = re.compile(
    r"cut here.*?WARNING: block/blk-mq\.c:\d+ at blk_mq_unquiesce_queue.*?end trace", re.DOTALL)
"""What the kernel says when a scan finds a namespace while a reset holds back the
disks that were there before: it lets go of all. Any transport of nvme-core meets it."""
_marks = itertools.count(1)


@dataclass(frozen=True)
class Controller:
    """A controller of nvme-core, as its sysfs folder describes it."""

    name: str
    """nvme0, say."""
    address: str
    """Where it is on the PCI bus."""
    state: str
    """live, once it serves I/O."""
    io_queues: int
    cntlid: int


class Driver:
    """The driver under test; ``nvme`` is the kernel's own, for comparison."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self.name = name
        """The module's, which is the PCI driver's too."""

    def load(self, parameters: str = "") -> None:
        """Loads the module."""
        if self.name == "nvme_rs":
            self._machine.run("modprobe nvme-core")
            self._machine.run(f"insmod {MODULE_IN_GUEST} {parameters}")
        else:
            self._machine.run(f"modprobe {self.name} {parameters}")

    def unload(self) -> None:
        """Removes the module, which must leave no DMA mapping behind."""
        self._machine.run(f"rmmod {self.name}")
        check_mappings(self._machine, [
            function.address for function in physical_functions(self._machine)])

    @property
    def loaded(self) -> bool:
        """Whether the module is in the kernel."""
        return not self._machine.run(
            f"test -d /sys/module/{self.name}", check=False).rc


class Function:
    """An NVMe function on the PCI bus."""

    def __init__(self, machine: Machine, address: str) -> None:
        self.machine = machine
        self.address = address
        self.sysfs = f"/sys/bus/pci/devices/{address}"

    @property
    def driver(self) -> str:
        """The name of the driver that is bound, or nothing."""
        path = self.machine.run(f"readlink {self.sysfs}/driver", check=False).out
        return os.path.basename(path.strip())

    @property
    def controller(self) -> Controller | None:
        """What nvme-core made of the function."""
        return controllers(self.machine).get(self.address)

    def live(self) -> Controller:
        """Waits until the controller is live, and returns it."""
        def probe() -> Controller | None:
            found = self.controller
            return found if found and found.state == "live" else None
        return self.machine.wait_for(probe, f"{self.address} live")

    def probed(self) -> Controller:
        """Waits until the controller is live, and its first scan for namespaces is
        over: a reset before that may find a disk half made."""
        found = self.live()
        # Waits for the device lock, which the probe has, and is refused then.
        self.bind(self.driver)
        return found

    def write(self, attribute: str, value: object) -> int:
        """Writes a sysfs attribute, and returns the errno, or 0."""
        return write(self.machine, f"{self.sysfs}/{attribute}", value)

    def bind(self, driver: str) -> int:
        """Asks ``driver`` to bind, and returns the errno, or 0."""
        return write(self.machine, f"/sys/bus/pci/drivers/{driver}/bind",
                     self.address)

    def unbind(self) -> None:
        """Takes the function away from its driver."""
        self.machine.run(f"echo {self.address} > {self.sysfs}/driver/unbind")


class PhysicalFunction(Function):
    """A function that has, or could have, virtual functions."""

    @property
    def vfs(self) -> list[Function]:
        """The virtual functions that are there, in the order of their number."""
        paths = self.machine.run(
            f"cd {self.sysfs} && [ -e virtfn0 ] && realpath virtfn*",
            check=False).out.split()
        return [Function(self.machine, address)
                for address in sorted(map(os.path.basename, paths))]

    @property
    def num_vfs(self) -> int:
        """How many VFs the PCI core counts."""
        # Only a function with SR-IOV has the file.
        return int(self.machine.run(f"cat {self.sysfs}/sriov_numvfs", check=False).out
                   or 0)

    def set_vfs(self, count: object) -> int:
        """Writes sriov_numvfs, and returns the errno, or 0."""
        # A hundred and more take their time.
        return write(self.machine, f"{self.sysfs}/sriov_numvfs", count, 300)

    def pool(self, kind: str) -> dict[str, int]:
        """Returns the flexible resources of a kind, ``queues`` or ``interrupts``."""
        said = self.machine.run(f"cd {self.sysfs}/nvme_sriov/{kind} && grep . *").out
        return {name: int(value) for name, value in
                (line.split(":") for line in said.splitlines())}

    def setting(self, vf: int, name: str) -> str:
        """Reads an attribute of a VF's folder."""
        return self.machine.read(f"{self.sysfs}/nvme_sriov/vf{vf}/{name}")

    def set(self, vf: int, name: str, value: object) -> int:
        """Writes an attribute of a VF's folder, and returns the errno, or 0."""
        return self.write(f"nvme_sriov/vf{vf}/{name}", value)

    def resources(self) -> list[tuple[int, int]]:
        """Returns the queues and interrupts that each VF has, by its number."""
        listed = sorted(self.secondaries(),
                        key=lambda s: s["virtual-function-number"])
        return [(s["num-virtual-queues"], s["num-virtual-interrupts"])
                for s in listed]

    def secondaries(self) -> list[dict[str, int]]:
        """Returns the Secondary Controller List."""
        listed: list[dict[str, int]] = self.json("list-secondary")[
            "secondary-controllers"]
        return listed

    def capabilities(self) -> dict[str, int]:
        """Returns the Primary Controller Capabilities."""
        caps: dict[str, int] = self.json("primary-ctrl-caps")
        return caps

    def attach(self, nsid: int, cntlid: int) -> None:
        """Attaches a namespace to a controller of the subsystem, if it is not."""
        result = self.machine.run(
            f"nvme attach-ns {self.device}"
            f" --namespace-id={nsid} --controllers={cntlid}", check=False)
        if result.rc and "Already Attached" not in result.err:
            raise CommandFailed(result.err)

    def manage(self, vf: int, options: str) -> None:
        """Sends a Virtualization Management command for a VF, as by hand."""
        cntlid = next(s["secondary-controller-identifier"] for s in self.secondaries()
                      if s["virtual-function-number"] == vf + 1)
        self.machine.run(f"nvme virt-mgmt {self.device} --cntlid={cntlid} {options}")

    def detach(self, nsid: int, cntlid: int) -> None:
        """Detaches a namespace from a controller of the subsystem."""
        self.machine.run(f"nvme detach-ns {self.device}"
                         f" --namespace-id={nsid} --controllers={cntlid}")

    def json(self, command: str) -> Any:
        """Returns what an nvme-cli command says of this controller."""
        return json.loads(self.machine.run(
            f"nvme {command} {self.device} --output-format=json").out)

    @property
    def device(self) -> str:
        """The controller's character device."""
        return f"/dev/{self.live().name}"


def physical_functions(machine: Machine) -> list[PhysicalFunction]:
    """Returns every NVMe function that is not a virtual one."""
    found = machine.run(
        "cd /sys/bus/pci/devices; for d in *; do read class < $d/class || continue;"
        f" [ $class != {_NVME} ] || [ -e $d/physfn ] || echo $d; done").out
    return [PhysicalFunction(machine, address) for address in found.split()]


def controllers(machine: Machine) -> dict[str, Controller]:
    """Returns the controllers of nvme-core by their PCI address."""
    # All in the shell: under TCG, each process costs 10 ms. A controller that is
    # just going away may lack an attribute.
    found = machine.run(
        "for c in /sys/class/nvme/nvme*; do"
        " read address < $c/address && read state < $c/state &&"
        " read queues < $c/queue_count && read cntlid < $c/cntlid &&"
        " echo ${c##*/} $address $queues $cntlid $state; done 2>/dev/null",
        check=False).out
    result = {}
    for line in found.splitlines():
        # The state may be two words and more.
        name, address, queues, cntlid, state = line.split(maxsplit=4)
        result[address] = Controller(
            name, address, state, max(int(queues) - 1, 0), int(cntlid))
    return result


def disk(machine: Machine, controller: Controller, nsid: int) -> str:
    """Waits for the block device through which ``controller`` serves ``nsid``.

    With nvme-core's multipath that is the namespace's one block device, of which
    the controller has a path.
    """
    def find() -> str | None:
        found = machine.run(
            f"cd /sys/class/nvme/{controller.name} &&"
            f" grep -lsx {nsid} nvme*n*/nsid", check=False).out.strip()
        return re.sub(r"c\d+", "", os.path.dirname(found)) or None
    name = machine.wait_for(find, f"namespace {nsid} of {controller.name}")
    machine.wait_for(
        lambda: not machine.run(f"test -b /dev/{name}", check=False).rc,
        f"/dev/{name}")
    return f"/dev/{name}"


def no_disk(machine: Machine, controller: Controller, nsid: int) -> None:
    """Waits until ``controller`` serves ``nsid`` no more.

    A detached namespace goes when nvme-core has looked at the list of them, and until
    then a private one is refused to the controller that it is attached to next.
    """
    machine.wait_for(
        lambda: machine.run(
            f"grep -lsx {nsid} /sys/class/nvme/{controller.name}/nvme*n*/nsid",
            check=False).rc, f"end of namespace {nsid} of {controller.name}")


def attached(pf: PhysicalFunction, nsid: int) -> set[int]:
    """Returns the ids of the controllers that have a namespace."""
    listed: list[dict[str, int]] = pf.json(f"list-ctrl -n {nsid}")["ctrl_list"]
    return {entry["ctrl_id"] for entry in listed}


def private_disks(machine: Machine, pf: PhysicalFunction) -> list[str]:
    """Gives each VF a namespace of its own, and returns their block devices."""
    users = list(enumerate((vf.live() for vf in pf.vfs), FIRST_PRIVATE_NSID))
    for nsid, user in users:
        pf.attach(nsid, user.cntlid)
    return [disk(machine, user, nsid) for nsid, user in users]


def fio(machine: Machine, *disks: str, timeout: float = 120,
        **options: object) -> list[dict[str, Any]]:
    """Runs fio on ``disks`` at once, and returns what it says of each job.

    ``options`` are fio's, by default 4 KiB random writes of 8 MiB, 32 at a time,
    each read back and verified. A bad checksum raises.
    """
    output = "/run/fio.json"
    machine.run(fio_command(*disks, output=output, **options), timeout)
    said = machine.read(output)
    # Notes to the user may precede the result.
    jobs: list[dict[str, Any]] = json.loads(said[said.index("{"):])["jobs"]
    return jobs


def fio_command(*disks: str, **options: object) -> str:
    """Returns the command line for fio()."""
    common: dict[str, object] = {
        "ioengine": "io_uring", "direct": 1, "rw": "randwrite", "bs": "4k",
        "size": "8m", "iodepth": 32, "verify": "crc32c", "verify_fatal": 1,
        # A disk that has just gone must not come back as a file in /dev.
        "allow_file_create": 0,
        "output-format": "json",
    } | options
    arguments = [f"--{key}={value}" for key, value in common.items()]
    for path in disks:
        arguments += [f"--name={os.path.basename(path)}", f"--filename={path}"]
    return shlex.join(["fio", *arguments])


@contextmanager
def said(machine: Machine) -> Iterator[list[str]]:
    """Yields a list that, after the block, has what the driver said in it."""
    mark = f"test: mark {next(_marks)}"
    machine.run(f"echo '{mark}' > /dev/kmsg")
    lines: list[str] = []
    yield lines
    lines += machine.run(f"dmesg | sed -n '/{mark}/,$p' | grep nvme",
                         check=False).out.splitlines()


@contextmanager
def repeated(machine: Machine, *commands: str) -> Iterator[None]:
    """Repeats each of some commands within the block, whether they succeed or not. What
    one of them writes to standard error fails the block."""
    machine.run(f"touch {_GO}; : > {_COMPLAINTS}")
    processes = [
        machine.spawn(f"while [ -e {_GO} ]; do {command}; done"
                      f" > /dev/null 2>> {_COMPLAINTS}")
        for command in commands]
    yield
    machine.run(f"rm {_GO}")
    for process in processes:
        machine.finish(process)
    found = machine.read(_COMPLAINTS)
    assert not found, found


def check_log_of_scans(machine: Machine) -> None:
    """Closes the window of the log, in which namespaces have come and gone in resets;
    raises if the kernel reports a fault of its own or ours in it."""
    machine.sync_log()
    found = faults(_UNBALANCED.sub("", machine.log.window()))
    assert not found, found
    machine.log.close_window()


def interrupts(machine: Machine, controller: Controller) -> dict[str, int]:
    """Returns how often each interrupt of ``controller`` came, by its name."""
    counts = {}
    for line in machine.read("/proc/interrupts").splitlines():
        fields = line.split()
        if re.fullmatch(rf"{controller.name}q\d+", fields[-1]):
            counts[fields[-1]] = sum(
                int(field) for field in fields[1:] if field.isdigit())
    return counts


def start_io(machine: Machine, controller: Controller, device: str,
             **options: object) -> int:
    """Starts fio on a disk of ``controller``, and returns its process when that has had
    interrupts of it."""
    def count() -> int:
        return sum(interrupts(machine, controller).values())
    idle = count()
    process = machine.spawn(fio_command(device, **options))
    machine.wait_for(lambda: count() > idle + 10, "I/O")
    return process


def write(machine: Machine, path: str, value: object, timeout: float = 60) -> int:
    """Writes a sysfs file, and returns the errno, or 0."""
    result = machine.run(
        f"echo {shlex.quote(str(value))} > {path}", timeout, check=False)
    return _ERRNO[result.err.strip().rpartition(": ")[2]] if result.rc else 0
