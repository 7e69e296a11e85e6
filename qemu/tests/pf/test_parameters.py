# SPDX-License-Identifier: GPL-2.0
"""Module parameters, compared with those of the kernel's own driver."""

import errno
import re

import pytest

from guest.errors import CommandFailed
from guest.machine import Machine
from subject.attributes import write
from subject.controllers import controllers
from subject.disks import disk
from subject.driver import Driver
from subject.functions import physical_functions
from subject.io import fio

OURS = "nvme_rs"
OWN = {"sriov_vfs": ("444", "0")}
"""Mode and default of the parameters that the kernel's own driver does not have."""


def folder(name: str) -> str:
    return f"/sys/module/{name}/parameters"


def parameters(machine: Machine, name: str) -> dict[str, tuple[str, str]]:
    """Returns mode and value of each parameter of a loaded module."""
    listed = machine.run(
        f"cd {folder(name)} && for p in *; do"
        " echo $p $(stat -c %a $p) $(cat $p); done").out
    found = {}
    for line in listed.splitlines():
        parameter, mode, *value = line.split()
        found[parameter] = mode, " ".join(value)
    return found


def test_as_the_kernels_own(machine: Machine, unloaded: Driver) -> None:
    """Parameters that both drivers have, have the same defaults and permissions."""
    found = {}
    for name in OURS, "nvme":
        driver = Driver(machine, name)
        driver.load()
        found[name] = parameters(machine, name)
        driver.unload()
    assert found[OURS] == found["nvme"] | OWN


@pytest.mark.parametrize("parameter, bad", [
    ("io_queue_depth", ("0", "1", "4096", "-1", "4294967296", "x", "")),
    # There are four CPUs.
    ("write_queues", ("-1", "5", "x")),
    ("poll_queues", ("-1", "5", "x")),
    ("sriov_vfs", ("-1", "x", "4294967296")),
    ("quirks", ("1b36", "1b36:0010", "1b36:0010:unknown", "1b36:0010:^",
                "1b36:0010:no_apst-", "11b36:0010:no_apst", "1" * 128)),
    ("noacpi", ("x", "2")),
])
def test_refused(machine: Machine, unloaded: Driver, parameter: str,
                 bad: tuple[str, ...]) -> None:
    """Bad values are refused when loading and in sysfs, as the kernel's own
    driver refuses them."""
    for name in [OURS] if parameter in OWN else [OURS, "nvme"]:
        driver = Driver(machine, name)
        for value in bad:
            with pytest.raises(CommandFailed):
                driver.load(f"{parameter}={value}")
        driver.load()
        mode, before = parameters(machine, name)[parameter]
        if mode == "644":
            path = f"{folder(name)}/{parameter}"
            # The shell cannot write an empty string.
            errors = {value: write(machine, path, value) for value in bad if value}
            assert set(errors.values()) <= {errno.EINVAL, errno.ERANGE}, errors
            assert parameters(machine, name)[parameter] == (mode, before)
        driver.unload()


def test_sriov_vfs(machine: Machine, unloaded: Driver) -> None:
    unloaded.load("sriov_vfs=2")
    pf, = physical_functions(machine)
    for vf in pf.vfs:
        vf.live()
    assert pf.num_vfs == 2
    assert parameters(machine, OURS)["sriov_vfs"] == ("444", "2")
    assert pf.set_vfs(0) == 0


def requests(machine: Machine, device: str) -> int:
    """Returns the number of requests that the block layer has for each queue of a disk."""
    name = re.sub(r"(nvme\d+)n", r"\1c*n", device.removeprefix("/dev/"))
    tags = machine.run(
        f"cat /sys/block/{name}/mq/0/nr_tags /sys/block/"
        f"{device.removeprefix('/dev/')}/mq/0/nr_tags 2>/dev/null",
        check=False).out.split()
    return int(tags[0])


@pytest.mark.parametrize("depth", [2, 64, 4095])
def test_io_queue_depth(machine: Machine, unloaded: Driver, depth: int) -> None:
    """A queue has one request fewer than entries, and all requests complete. CAP.MQES of
    the device is 2047."""
    seen = {}
    for name in OURS, "nvme":
        driver = Driver(machine, name)
        driver.load(f"io_queue_depth={depth}")
        controller, = controllers(machine).values()
        device = disk(machine, controller, 1)
        sqsize = machine.read(f"/sys/class/nvme/{controller.name}/sqsize").strip()
        seen[name] = int(sqsize), requests(machine, device)
        if name == OURS:
            fio(machine, device, size="1m")
            # A controller in use keeps its queue depth; a reset does not change it.
            assert write(machine, f"{folder(name)}/io_queue_depth", 1000) == 0
            machine.run(f"nvme reset /dev/{controller.name}")
            fio(machine, device, size="1m")
            assert requests(machine, device) == seen[name][1]
        driver.unload()
    assert seen[OURS] == seen["nvme"]
    assert seen[OURS][1] == min(depth, 2048) - 1
