# SPDX-License-Identifier: GPL-2.0
"""Identify data that is wrong, or at its limits."""

import pytest

from faults.checks import check_works
from faults.commands import IDENTIFY, IDENTIFY_CONTROLLER, NAMESPACE_LIST
from faults.programmed import SHAPE
from guest.device import Device
from guest.machine import Machine
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio

pytestmark = pytest.mark.shape(SHAPE)

MDTS, NN = 77, 516
"""Offsets in Identify Controller: the largest transfer, the number of namespaces."""


@pytest.mark.parametrize("at, data", [
    pytest.param(MDTS, [0], id="MDTS=0"),            # no limit
    pytest.param(MDTS, [1], id="MDTS=1"),            # two pages
    pytest.param(MDTS, [255], id="MDTS=255"),        # beyond any limit
    pytest.param(NN, [0xff] * 4, id="NN=all"),
    pytest.param(NN, [0] * 4, id="NN=0"),
])
def test_identify_controller(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                             device: Device, at: int, data: list[int]) -> None:
    device.add({"patch": {"at": at, "bytes": data}}, queue="admin", opcode=IDENTIFY,
               selector=IDENTIFY_CONTROLLER)
    assert programmed.bind(driver.name) == 0
    assert device.met()
    check_works(machine, programmed)
    fio(machine, disk(machine, programmed.live(), 1), bs="256k", size="2m")


def test_endless_namespace_list(machine: Machine, driver: Driver, programmed: PhysicalFunction,
                                device: Device) -> None:
    """nvme-core scans a list of namespaces that does not end for as long as it does not, with
    either driver, and an unbind waits for that. All ends when the list does."""
    device.add({"data": "random"}, queue="admin", opcode=IDENTIFY, selector=NAMESPACE_LIST)
    bound = machine.spawn(f"echo {programmed.address} > /sys/bus/pci/drivers/{driver.name}/bind")
    machine.wait_for(lambda: device.met() > 1, "the second part of the list")
    unbound = machine.spawn(f"echo {programmed.address} > /sys/bus/pci/drivers/{driver.name}/unbind")
    before = device.met()
    machine.wait_for(lambda: device.met() > before + 2, "further parts")
    device.clear()
    assert machine.finish(bound) == 0
    machine.finish(unbound)
    if not programmed.driver:
        assert programmed.bind(driver.name) == 0
    check_works(machine, programmed)
