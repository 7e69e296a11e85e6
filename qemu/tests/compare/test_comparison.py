# SPDX-License-Identifier: GPL-2.0
"""The time to enable VFs, compared with the kernel's own driver in one guest."""

from collections.abc import Iterator

import pytest

from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction

VFS = 8


@pytest.fixture
def theirs(machine: Machine, driver: Driver, pf: PhysicalFunction) -> Iterator[Driver]:
    """Loads the kernel's own driver in place of the one under test."""
    driver.unload()
    found = Driver(machine, "nvme")
    found.load()
    pf.live()
    yield found
    if machine.alive:
        assert pf.set_vfs(0) == 0
        found.unload()
        driver.load()
        pf.live()


def seconds(machine: Machine, script: str) -> float:
    """Returns how long a script takes until all VFs are live, in the guest."""
    machine.put("/root/script", f"""set -e
        read start rest < /proc/uptime
        {script}
        while [ $(grep -lsx live /sys/class/nvme/*/state | wc -l) -le {VFS} ]; do
            sleep 0.02
        done
        read end rest < /proc/uptime
        echo $start $end""".encode())
    start, end = machine.run("sh /root/script", 120).out.split()[-2:]
    return float(end) - float(start)


def test_time_to_live(machine: Machine, pf: PhysicalFunction, driver: Driver,
                      request: pytest.FixtureRequest) -> None:
    """nvme_rs makes VFs live by one write, the kernel's own driver with nvme-cli's commands."""
    enable = f"echo {VFS} > {pf.sysfs}/sriov_numvfs"
    # All VFs are probed at once; another guest on the host may take the CPUs for that.
    ours = min(seconds(machine, enable) for _ in range(3) if pf.set_vfs(0) == 0)
    assert pf.set_vfs(0) == 0
    listed = sorted(pf.secondaries(), key=lambda s: s["virtual-function-number"])
    cntlids = [s["secondary-controller-identifier"] for s in listed]

    kernels: Driver = request.getfixturevalue("theirs")
    manage = f"nvme virt-mgmt {pf.device}"
    steps = [f"echo 0 > {pf.sysfs}/sriov_drivers_autoprobe"]
    for cntlid in cntlids:
        steps += [f"{manage} --cntlid={cntlid} --rt={kind} --act=8 --nr=3 > /dev/null"
                  for kind in range(2)]
    steps += [enable,
              f"echo 1 > {pf.sysfs}/sriov_drivers_autoprobe"]
    for vf, cntlid in enumerate(cntlids):
        steps += [f"{manage} --cntlid={cntlid} --act=9 > /dev/null",
                  f"basename $(realpath {pf.sysfs}/virtfn{vf})"
                  f" > /sys/bus/pci/drivers/{kernels.name}/bind"]
    theirs = seconds(machine, "\n".join(steps))
    print(f"{driver.name}: {ours:.2f} s, nvme-cli and nvme: {theirs:.2f} s")
    for cntlid in cntlids:
        machine.run(f"{manage} --cntlid={cntlid} --act=7")
    # The usual ratio is a quarter.
    assert ours < theirs / 2
