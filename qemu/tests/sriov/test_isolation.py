# SPDX-License-Identifier: GPL-2.0
"""The namespaces that a VF sees: those of its setting, and those that the controller gives
to every VF, but none of an earlier use of the VF."""

import json

import pytest

from guest.kernel import times
from guest.machine import Machine
from guest.repetition import repeated
from guest.shape import FIRST_PRIVATE_NSID
from subject.disks import disk, no_disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, attached
from subject.io import fio
from subject.messages import check_log_of_scans

GIVEN = "1"
"""The namespaces that the controller gives to every VF."""
OWN = range(FIRST_PRIVATE_NSID, FIRST_PRIVATE_NSID + 3)
"""What tests set for a VF."""
SETTING = " ".join(map(str, OWN))

pytestmark = pytest.mark.usefixtures("defaults", "pf_with_its_own_disks")


@pytest.fixture
def pf_with_its_own_disks(pf: PhysicalFunction) -> None:
    """Detaches what an earlier test attached to the PF: a namespace that all functions have
    counts as given by the controller."""
    for entry in pf.json("list-ns")["nsid_list"]:
        if entry["nsid"] >= FIRST_PRIVATE_NSID:
            pf.detach(entry["nsid"], pf.live().cntlid)


def cntlids(pf: PhysicalFunction) -> set[int]:
    """Returns the ids of the VFs' controllers."""
    return {s["secondary-controller-identifier"] for s in pf.secondaries()}


def attachments(pf: PhysicalFunction) -> dict[int, set[int]]:
    """Returns for each namespace the ids of the controllers to which it is attached."""
    last = FIRST_PRIVATE_NSID + pf.machine.shape.namespaces - 1
    said = pf.machine.run(
        f"for nsid in $(seq 1 {last}); do nvme list-ctrl {pf.device} -n $nsid"
        " --output-format=json | tr -d '\n'; echo; done").out.splitlines()
    return {nsid: {entry["ctrl_id"] for entry in json.loads(line)["ctrl_list"]}
            for nsid, line in enumerate(said, 1)}


def check_attached(pf: PhysicalFunction, *expected: str) -> None:
    """Checks the namespaces that are attached to the first VFs, as the controller and sysfs
    report them; sysfs is updated some time after a user's command. VFs with a driver must
    be live."""
    def shown() -> list[str]:
        return [pf.setting(vf, "attached") for vf in range(len(expected))]

    for vf in pf.vfs:
        if vf.driver:
            vf.live()
    users = [int(pf.setting(vf, "cntlid")) for vf in range(len(expected))]
    found = attachments(pf)
    assert [" ".join(str(nsid) for nsid in found if cntlid in found[nsid])
            for cntlid in users] == list(expected)
    pf.machine.wait_for(lambda: shown() == list(expected),
                        f"{expected} attached, not {shown()}", 5)


def check_none_attached(pf: PhysicalFunction) -> None:
    """Checks that no VF has a namespace other than the one that every VF gets."""
    pf.live()
    everyone = cntlids(pf)
    pf.machine.wait_for(
        lambda: not any(found & everyone for nsid, found in attachments(pf).items()
                        if nsid >= FIRST_PRIVATE_NSID),
        "no namespace attached to a VF", 5)


@pytest.mark.essential
def test_attached_is_what_is_set(machine: Machine, pf: PhysicalFunction) -> None:
    """A VF has the namespaces of its setting, and the one that QEMU attaches to every VF when
    the VF is started, and no other."""
    assert pf.set(0, "namespaces", "3 2") == pf.set(2, "namespaces", "4,1") == 0
    assert pf.set_vfs(3) == 0
    expected = "1 2 3", GIVEN, "1 4"
    check_attached(pf, *expected)
    first, second, third = (vf.live() for vf in pf.vfs)
    fio(machine, disk(machine, first, 2), disk(machine, first, 3),
        disk(machine, second, 1), disk(machine, third, 4), size="256k")
    machine.run(f"nvme reset {pf.device}")
    check_attached(pf, *expected)
    assert pf.vfs[2].write("reset", 1) == 0
    check_attached(pf, *expected)
    assert pf.set_vfs(0) == 0
    check_none_attached(pf)
    assert pf.set(0, "namespaces", "") == pf.set(1, "namespaces", 2) == 0
    assert pf.set_vfs(3) == 0
    check_attached(pf, GIVEN, "1 2", "1 4")


def test_another_vf_was_never_used(driver: Driver, pf: PhysicalFunction) -> None:
    """One VF was never started, so QEMU has not attached the common namespace to it. The
    other VFs keep that namespace when their settings change, and when they are disabled."""
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    assert pf.set_vfs(2) == 0
    assert pf.write("sriov_drivers_autoprobe", 1) == 0
    first, second = (int(pf.setting(vf, "cntlid")) for vf in range(2))
    if second in attachments(pf)[int(GIVEN)]:
        # The second VF was used before.
        pf.detach(int(GIVEN), second)
    assert pf.vfs[0].bind(driver.name) == 0
    check_attached(pf, GIVEN, "")
    assert pf.set(0, "namespaces", OWN[0]) == 0
    check_attached(pf, f"{GIVEN} {OWN[0]}", "")
    assert pf.set_vfs(0) == 0
    assert first in attachments(pf)[int(GIVEN)]
    check_none_attached(pf)


def test_attached_without_a_driver(pf: PhysicalFunction) -> None:
    """VFs have the right namespaces without nvme_rs bound to them."""
    assert pf.set(0, "namespaces", SETTING) == 0
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    for _ in range(2):
        assert pf.set_vfs(1) == 0
        # QEMU attaches the common namespace when a controller is first started.
        shown = pf.setting(0, "attached")
        assert shown.removeprefix(f"{GIVEN} ") == SETTING
        check_attached(pf, shown)
        pf.attach(7, int(pf.setting(0, "cntlid")))
        assert pf.set_vfs(0) == 0
    assert pf.write("sriov_drivers_autoprobe", 1) == 0


def test_setting_of_an_enabled_vf(machine: Machine, pf: PhysicalFunction) -> None:
    """A setting detaches namespaces that a user attached, unless it contains them. Clearing
    the setting detaches only the namespaces that the setting has attached."""
    assert pf.set_vfs(2) == 0
    first, second = (vf.live() for vf in pf.vfs)
    disk(machine, first, 1)
    pf.attach(5, first.cntlid)
    pf.attach(8, first.cntlid)
    assert pf.set(0, "namespaces", "5 6") == 0
    check_attached(pf, "1 5 6", GIVEN)
    disk(machine, first, 6)
    no_disk(machine, first, 8)
    assert pf.set(0, "namespaces", "") == 0
    check_attached(pf, "1 5", GIVEN)
    no_disk(machine, first, 6)
    # Clearing an empty setting detaches nothing.
    pf.attach(7, second.cntlid)
    assert pf.set(1, "namespaces", "") == 0
    assert second.cntlid in attached(pf, 7)


def test_attached_by_hand(machine: Machine, pf: PhysicalFunction) -> None:
    """A namespace that a user attached stays attached over resets, until the VFs are disabled."""
    assert pf.set_vfs(2) == 0
    first, second = (vf.live() for vf in pf.vfs)
    pf.attach(5, first.cntlid)
    pf.detach(1, second.cntlid)
    check_attached(pf, "1 5", "")
    for reset in f"nvme reset {pf.device}", f"echo 1 > {pf.sysfs}/reset":
        machine.run(reset)
        check_attached(pf, "1 5", GIVEN)
    fio(machine, disk(machine, pf.vfs[0].live(), 5), size="256k")
    assert pf.set_vfs(0) == 0
    check_none_attached(pf)
    assert pf.set_vfs(2) == 0
    check_attached(pf, GIVEN, GIVEN)


def test_attached_by_hand_while_disabled(pf: PhysicalFunction) -> None:
    """A namespace that a user attached to the controller of a disabled VF is detached when the
    VF is enabled."""
    assert pf.set(1, "namespaces", 3) == 0
    for cntlid in cntlids(pf):
        pf.attach(6, cntlid)
    assert pf.set_vfs(2) == 0
    check_attached(pf, GIVEN, "1 3")
    assert pf.set_vfs(0) == 0
    for cntlid in cntlids(pf) & attached(pf, 6):
        pf.detach(6, cntlid)


def test_attached_by_hand_before_unload(driver: Driver, pf: PhysicalFunction) -> None:
    assert pf.set_vfs(1) == 0
    pf.attach(5, pf.vfs[0].live().cntlid)
    driver.unload()
    driver.load()
    check_none_attached(pf)
    assert pf.set_vfs(1) == 0
    check_attached(pf, GIVEN)


def change_in_resets(machine: Machine, pf: PhysicalFunction) -> None:
    """Sets and clears a VF's namespaces while the PF is being reset, and clears them in the
    end. A write that fails changes nothing."""
    assert pf.set_vfs(2) == 0
    name = pf.vfs[0].live() and pf.device
    file = f"{pf.sysfs}/nvme_sriov/vf0/namespaces"
    with repeated(machine, f"(echo {SETTING} > {file}; echo > {file}) 2> /dev/null"):
        for _ in range(4):
            machine.run(f"nvme reset {name}")
    assert pf.set(0, "namespaces", "") == 0
    check_log_of_scans(machine)


@pytest.mark.essential
def test_changed_in_a_reset(machine: Machine, driver: Driver,
                            pf: PhysicalFunction) -> None:
    """No namespace stays attached to a disabled VF, or is attached when it is enabled again."""
    for turn in range(times(4)):
        change_in_resets(machine, pf)
        if turn % 2:
            driver.unload()
            driver.load()
        else:
            assert pf.set_vfs(0) == 0
        check_none_attached(pf)
        assert pf.set_vfs(2) == 0
        check_attached(pf, GIVEN, GIVEN)
        assert pf.set_vfs(0) == 0


def test_disabled_in_a_reset(machine: Machine, pf: PhysicalFunction) -> None:
    """VFs are disabled, or lose their settings and are disabled, while the PF is being reset."""
    for turn, delay in enumerate(range(0, 240, 40)):
        assert pf.set(0, "namespaces", SETTING) == pf.set(1, "namespaces", "7") == 0
        assert pf.set_vfs(2) == 0
        for vf in pf.vfs:
            vf.live()
        machine.put("/run/race", f"""
            nvme reset {pf.device} &
            sleep {delay / 1000}
            [ {turn % 2} = 0 ] || (echo > {pf.sysfs}/nvme_sriov/vf0/namespaces) 2> /dev/null
            echo 0 > {pf.sysfs}/sriov_numvfs
            wait $!""".encode())
        machine.run("sh /run/race")
        check_none_attached(pf)
        assert pf.set(0, "namespaces", "") == pf.set(1, "namespaces", "") == 0
        assert pf.set_vfs(2) == 0
        check_attached(pf, GIVEN, GIVEN)
        assert pf.set_vfs(0) == 0
