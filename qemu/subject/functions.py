# SPDX-License-Identifier: GPL-2.0
"""NVMe functions on the PCI bus, physical and virtual ones, as the guest's administrator
sees them: sysfs and nvme-cli."""

import json
import os
from typing import Any

from guest.errors import CommandFailed
from guest.machine import Machine
from subject.attributes import write
from subject.controllers import Controller, controllers

_NVME = "0x010802"
"""The class code of an NVMe I/O controller."""


class Function:
    """An NVMe function on the PCI bus."""

    def __init__(self, machine: Machine, address: str) -> None:
        self.machine = machine
        self.address = address
        self.sysfs = f"/sys/bus/pci/devices/{address}"

    @property
    def driver(self) -> str:
        """Returns the name of the bound driver, or an empty string."""
        path = self.machine.run(f"readlink {self.sysfs}/driver", check=False).out
        return os.path.basename(path.strip())

    @property
    def controller(self) -> Controller | None:
        """Returns nvme-core's controller of the function, if there is one."""
        return controllers(self.machine).get(self.address)

    def live(self) -> Controller:
        """Waits until the controller is live, and returns it."""
        def probe() -> Controller | None:
            found = self.controller
            return found if found and found.state == "live" else None
        return self.machine.wait_for(probe, f"{self.address} live")

    def probed(self) -> Controller:
        """Waits until the controller is live, and its first scan for namespaces is
        over: an earlier reset could find a disk that is not complete."""
        found = self.live()
        # The write waits for the device lock, which the probe holds, and is then refused.
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
        """Unbinds the function from its driver."""
        self.machine.run(f"echo {self.address} > {self.sysfs}/driver/unbind")


class PhysicalFunction(Function):
    """A physical function, with or without SR-IOV."""

    @property
    def vfs(self) -> list[Function]:
        """Returns the enabled virtual functions, in the order of their numbers."""
        paths = self.machine.run(
            f"cd {self.sysfs} && [ -e virtfn0 ] && realpath virtfn*",
            check=False).out.split()
        return [Function(self.machine, address)
                for address in sorted(map(os.path.basename, paths))]

    @property
    def num_vfs(self) -> int:
        """Returns the number of enabled VFs, as the PCI core counts them."""
        # The file exists only for a function with SR-IOV.
        return int(self.machine.run(f"cat {self.sysfs}/sriov_numvfs", check=False).out
                   or 0)

    def set_vfs(self, count: object) -> int:
        """Writes sriov_numvfs, and returns the errno, or 0."""
        # Enabling a hundred VFs takes long.
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
        """Returns the assigned queues and interrupts of each VF, by its number."""
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
        """Attaches a namespace to a controller of the subsystem, unless it is attached."""
        result = self.machine.run(
            f"nvme attach-ns {self.device}"
            f" --namespace-id={nsid} --controllers={cntlid}", check=False)
        if result.rc and "Already Attached" not in result.err:
            raise CommandFailed(result.err)

    def manage(self, vf: int, options: str) -> None:
        """Sends a Virtualization Management command for a VF by nvme-cli."""
        cntlid = next(s["secondary-controller-identifier"] for s in self.secondaries()
                      if s["virtual-function-number"] == vf + 1)
        self.machine.run(f"nvme virt-mgmt {self.device} --cntlid={cntlid} {options}")

    def detach(self, nsid: int, cntlid: int) -> None:
        """Detaches a namespace from a controller of the subsystem."""
        self.machine.run(f"nvme detach-ns {self.device}"
                         f" --namespace-id={nsid} --controllers={cntlid}")

    def json(self, command: str) -> Any:
        """Returns the output of an nvme-cli command for this controller."""
        return json.loads(self.machine.run(
            f"nvme {command} {self.device} --output-format=json").out)

    @property
    def device(self) -> str:
        """Returns the controller's character device."""
        return f"/dev/{self.live().name}"


def physical_functions(machine: Machine) -> list[PhysicalFunction]:
    """Returns every NVMe function that is not a virtual one."""
    found = machine.run(
        "cd /sys/bus/pci/devices; for d in *; do read class < $d/class || continue;"
        f" [ $class != {_NVME} ] || [ -e $d/physfn ] || echo $d; done").out
    return [PhysicalFunction(machine, address) for address in found.split()]


def attached(pf: PhysicalFunction, nsid: int) -> set[int]:
    """Returns the ids of the controllers to which a namespace is attached."""
    listed: list[dict[str, int]] = pf.json(f"list-ctrl -n {nsid}")["ctrl_list"]
    return {entry["ctrl_id"] for entry in listed}
