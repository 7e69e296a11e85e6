# SPDX-License-Identifier: GPL-2.0
"""The quiet point between two rounds, at which no actor works and the state is checked."""

import itertools
import json
import random
from collections.abc import Callable, Sequence

from endurance.torture.actors import Place, Trait
from endurance.torture.host import plug, present
from endurance.torture.results import Wrong
from faults.rules import Faults
from guest.errors import MachineError
from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID
from subject.driver import Driver
from subject.functions import Function, PhysicalFunction
from subject.io import fio
from subject.messages import check_log_of_scans

_ONLINE = 1
_GIVEN = 1
"""The namespace that the controller gives to every VF."""
LIVE = 60
"""Seconds within which controllers have to be live."""
_FOLLOW = 5
"""Seconds within which sysfs follows the controller."""
_KINDS = {"queues": ("vq", "num-virtual-queues"), "interrupts": ("vi", "num-virtual-interrupts")}
"""For each resource, the prefix of its fields in Primary Controller Capabilities, and its
name in the Secondary Controller List."""

# Brings back offline CPUs, and functions that were removed from the bus.
_BACK = """
for cpu in /sys/devices/system/cpu/cpu*/online; do echo 1 > $cpu; done
echo 1 > /sys/bus/pci/rescan
"""

# Binds functions that have no driver, or vfio-pci, to the driver under test.
_GIVE_BACK = """
cd /sys/bus/pci/devices
for function in {functions}; do
	[ -e $function ] || continue
	read -r override < $function/driver_override
	[ "$override" = "(null)" ] || echo > $function/driver_override
	[ ! -e ../drivers/vfio-pci/$function ] || echo $function > ../drivers/vfio-pci/unbind
	[ -e $function/driver ] || echo $function > ../drivers_probe
done
"""

# A controller that has lost a command in its start or reset is dead for good: unbind it.
_BURY = """
for state in /sys/class/nvme/nvme*/state; do
	grep -qx dead $state || continue
	function=$(realpath ${state%/*}/device)
	echo ${function##*/} > $function/driver/unbind
done
"""

_FORGET = """
for vf in {sysfs}/nvme_sriov/vf*; do
	echo 0 > $vf/queues && echo 0 > $vf/interrupts && echo > $vf/namespaces || exit
done
"""

_SYSFS = """
cd {sysfs}/nvme_sriov && grep . vf*/state vf*/cntlid vf*/assigned_* vf*/namespaces queues/* \
	interrupts/*; grep -s '' vf*/attached
"""


class Quiet:
    """The quiet point of a machine."""

    def __init__(self, machine: Machine, driver: Driver, places: list[Place]) -> None:
        self._machine = machine
        self._driver = driver
        self._pfs = [PhysicalFunction(machine, place.pf) for place in places]

    def restore(self, traits: set[Trait]) -> None:
        """Undoes the effects of actors with these traits, and waits until all functions exist
        and are live."""
        for index in range(len(self._pfs)):
            if not present(self._machine, index):
                plug(self._machine, index)
        if not self._driver.loaded:
            self._driver.load()
        made_up = Faults(self._machine)
        if made_up.available:
            made_up.clear()
        if Trait.LOSES_VF in traits:
            self._machine.lost_functions = True
            for pf in self._pfs:
                # An actor may have removed the PF before.
                self._machine.run(f"[ ! -e {pf.sysfs} ] || echo 1 > {pf.sysfs}/remove")
        self._machine.run(_BACK)
        without_driver = {Trait.UNBINDS, Trait.LOSES_COMMANDS} & traits
        if without_driver:
            self._give_back(self._pfs)
        if Trait.LOSES_COMMANDS in traits:
            self._revive()
        for pf in self._pfs:
            self._live(pf, "PF")
        if Trait.LOSES_COMMANDS in traits:
            self._settle()
            self._machine.run(_BURY)
        # The PFs come first, as a VF's controller may have to wait for that of its PF.
        if without_driver:
            for pf in self._pfs:
                self._give_back(pf.vfs)
        for pf in self._pfs:
            for number, vf in enumerate(pf.vfs):
                self._live(vf, f"VF {number} of {pf.address}")

    def check(self) -> None:
        """Checks resources, attached namespaces, data and the log."""
        for pf in self._pfs:
            self.check_resources(pf)
        self.check_attached()
        self.check_data()
        self.check_log()

    def clean(self) -> None:
        """Disables all VFs, resets their settings, and checks that no VF has anything left."""
        before = [pf.num_vfs for pf in self._pfs]
        self._disable()
        self.check_nothing_left(before)
        self.check_log()

    def _disable(self) -> None:
        for pf in self._pfs:
            if failed := pf.set_vfs(0):
                raise Wrong(f"{pf.address}: disabling ends with errno {failed}")
        for pf in self._pfs:
            self.check_resources(pf)
            self._machine.run(_FORGET.format(sysfs=pf.sysfs))

    def use_all_vfs(self) -> None:
        """Enables all VFs for a moment, which detaches namespaces that an earlier use of a VF has
        left: a PF's controller may have been given up before the driver could detach them.

        The settings are reset before: a namespace in a setting may be private, and still be
        attached to a VF of a PF that was given up."""
        self._disable()
        for pf in self._pfs:
            if failed := pf.set_vfs(self._machine.shape.vfs):
                raise Wrong(f"{pf.address}: all VFs: errno {failed}")
        self.check_attached()

    def prepare(self, rng: random.Random) -> None:
        """Enables some VFs for the next round, and sets namespaces for some of them."""
        nsids = list(range(FIRST_PRIVATE_NSID,
                           FIRST_PRIVATE_NSID + self._machine.shape.namespaces))
        rng.shuffle(nsids)
        for pf in self._pfs:
            count = rng.choice((0, 2, 4, pf.machine.shape.vfs))
            for vf in range(min(count, 2)):
                pf.set(vf, "namespaces", nsids.pop())
            if count and (failed := pf.set_vfs(count)):
                raise Wrong(f"{pf.address}: {count} VFs: errno {failed}")
        for pf in self._pfs:
            for number, vf in enumerate(pf.vfs):
                self._live(vf, f"VF {number} of {pf.address}")

    def check_resources(self, pf: PhysicalFunction) -> None:
        """Checks that the controller and sysfs report the same resources for each VF, and that
        only enabled VFs have resources."""
        sysfs = self._sysfs(pf)
        secondaries = {entry["virtual-function-number"] - 1: entry
                       for entry in pf.secondaries()}
        capabilities = pf.capabilities()
        enabled = pf.num_vfs
        wrong = []
        if len(pf.vfs) != enabled:
            wrong.append(f"{len(pf.vfs)} of {enabled} VFs are there")
        for kind, (prefix, key) in _KINDS.items():
            pool = {name: int(sysfs[f"{kind}/{name}"])
                    for name in ("total", "assigned", "free", "primary")}
            held = sum(entry[key] for entry in secondaries.values())
            if pool["total"] != pool["assigned"] + pool["free"] + pool["primary"]:
                wrong.append(f"{kind}: the sum is wrong: {pool}")
            theirs = {"total": capabilities[f"{prefix}frt"],
                      "assigned": capabilities[f"{prefix}rfa"],
                      "primary": capabilities[f"{prefix}rfap"]}
            if not theirs.items() <= pool.items() or held != pool["assigned"]:
                wrong.append(f"{kind}: sysfs has {pool}, the controller {theirs}, its VFs {held}")
        for number, entry in secondaries.items():
            held = [entry[key] for _, key in _KINDS.values()]
            online = entry["secondary-controller-state"] == _ONLINE
            if online != (number < enabled) or (not online and any(held)):
                wrong.append(f"VF {number} of {enabled}: online {online}, has {held}")
            shown = [sysfs[f"vf{number}/{name}"] for name in (
                "state", "cntlid", "assigned_queues", "assigned_interrupts")]
            theirs_shown = ["online" if online else "offline",
                            str(entry["secondary-controller-identifier"]), *map(str, held)]
            if shown != theirs_shown:
                wrong.append(f"VF {number}: sysfs has {shown}, the controller {theirs_shown}")
        if wrong:
            raise Wrong("\n".join([f"{pf.address}:", *wrong]))

    def check_attached(self) -> None:
        """Checks that VFs with a namespace setting have these namespaces attached, and besides
        only the one that the controller gives to every VF, and that sysfs agrees."""
        for pf in self._pfs:
            # The driver may still be about to repair the attachments.
            self._soon(lambda: self._not_attached(pf))

    def _not_attached(self, pf: PhysicalFunction) -> str:
        sysfs = self._sysfs(pf)
        attached = self._attached()
        wrong = []
        for number in range(pf.num_vfs):
            cntlid = int(sysfs[f"vf{number}/cntlid"])
            has = {nsid for nsid, cntlids in attached.items() if cntlid in cntlids}
            wanted = set(map(int, sysfs.get(f"vf{number}/namespaces", "").split()))
            shown = sysfs.get(f"vf{number}/attached")
            if wanted and has not in (wanted, wanted | {_GIVEN}):
                wrong.append(f"VF {number}: '{_words(wanted)}' is set, '{_words(has)}' is attached")
            if shown is not None and set(map(int, shown.split())) != has:
                wrong.append(f"VF {number}: sysfs has '{shown}' as attached, the controller"
                             f" '{_words(has)}'")
        return "\n".join([f"{pf.address}:", *wrong]) if wrong else ""

    def check_nothing_left(self, before: Sequence[int] = ()) -> None:
        """Checks that disabled VFs have only the namespace that the controller gives to every
        VF, and that the first ``before`` VFs of each PF, which were enabled, have it."""
        self._soon(lambda: self._left(before))

    def _left(self, before: Sequence[int]) -> str:
        attached = self._attached()
        wrong = []
        for pf, count in itertools.zip_longest(self._pfs, before, fillvalue=0):
            assert isinstance(pf, PhysicalFunction)
            ids = {entry["secondary-controller-identifier"]: entry["virtual-function-number"]
                   for entry in pf.secondaries()}
            for nsid, cntlids in attached.items():
                if nsid != _GIVEN and (found := cntlids & set(ids)):
                    wrong.append(f"{pf.address}: namespace {nsid} is left to {_words(found)}")
            # QEMU attaches the namespace to a VF when the VF is enabled for the first time.
            lost = {cntlid for cntlid, number in ids.items()
                    if number <= count} - attached[_GIVEN]
            if lost:
                wrong.append(f"{pf.address}: namespace {_GIVEN} is lost to {_words(lost)}")
        return "\n".join(wrong)

    def check_data(self) -> None:
        """Verifies data on all disks."""
        disks = self._machine.run(
            "cd /sys/block; for disk in nvme*n*; do"
            " [ ! -b /dev/$disk ] || echo /dev/$disk; done").out.split()
        fio(self._machine, *disks, size="128k", iodepth=8, thread=1)

    def check_log(self) -> None:
        """Checks that the kernel has reported no fault, and opens a new window of the log."""
        try:
            check_log_of_scans(self._machine)
        except AssertionError as error:
            raise Wrong(f"the kernel reports a fault: {error}") from None

    def _sysfs(self, pf: PhysicalFunction) -> dict[str, str]:
        said = self._machine.run(_SYSFS.format(sysfs=pf.sysfs), check=False).out
        return dict(line.split(":", 1) for line in said.splitlines())

    def _attached(self) -> dict[int, set[int]]:
        """Returns the ids of the controllers to which each namespace is attached."""
        found: dict[int, set[int]] = {}
        last = FIRST_PRIVATE_NSID + self._machine.shape.namespaces - 1
        # All PFs are of one subsystem.
        device = self._pfs[0].device
        said = self._machine.run(
            f"for nsid in $(seq {last}); do echo \"[$nsid]\";"
            f" nvme list-ctrl {device} -n $nsid -o json || exit; done").out
        decoder = json.JSONDecoder()
        rest = said.strip()
        while rest:
            (nsid,), end = decoder.raw_decode(rest)
            rest = rest[end:].strip()
            listed, end = decoder.raw_decode(rest)
            rest = rest[end:].strip()
            found[nsid] = {entry["ctrl_id"] for entry in listed["ctrl_list"]}
        return found

    def _soon(self, wrong: Callable[[], str]) -> None:
        """Raises what ``wrong`` returns, if it is not empty within a few seconds."""
        try:
            self._machine.wait_for(lambda: not wrong(), "", _FOLLOW)
        except MachineError:
            if found := wrong():
                raise Wrong(found) from None

    def _live(self, function: Function, what: str) -> None:
        """Waits until the controller of a function is live."""
        def live() -> bool:
            found = function.controller
            return bool(found and found.state == "live")
        try:
            self._machine.wait_for(live, "", LIVE)
        except MachineError:
            if not self._machine.alive:
                raise
            raise Wrong(f"{what}, {function.address}, is not live: its driver is"
                        f" '{function.driver}', its controller {function.controller}") from None

    def _settle(self) -> None:
        """Waits until each controller is either live or dead."""
        settled = "! grep -Lxse live -e dead /sys/class/nvme/nvme*/state | grep -q ."
        try:
            self._machine.wait_for(
                lambda: not self._machine.run(settled, check=False).rc, "", LIVE)
        except MachineError:
            # The caller reports controllers that are neither.
            if not self._machine.alive:
                raise

    def _give_back(self, functions: Sequence[Function]) -> None:
        self._machine.run(_GIVE_BACK.format(
            functions=" ".join(function.address for function in functions)))

    def _revive(self) -> None:
        """Removes physical functions that were given up, and rescans the bus."""
        for pf in self._pfs:
            try:
                self._live(pf, "PF")
            except Wrong:
                pf.write("remove", 1)
                self._machine.run("echo 1 > /sys/bus/pci/rescan")


def _words(numbers: set[int]) -> str:
    return " ".join(map(str, sorted(numbers)))
