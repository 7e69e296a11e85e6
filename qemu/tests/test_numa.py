# SPDX-License-Identifier: GPL-2.0
"""NUMA: a controller next to one of two nodes, beside the kernel's own driver."""

import pytest

from machine import Machine, Shape
from nvme import Driver, controllers

BOTH = "nvme_rs", "nvme"
SHAPE = Shape(nodes=2, vfs=0, namespaces=0)

pytestmark = pytest.mark.shape(SHAPE)


@pytest.fixture(autouse=True)
def numa(machine: Machine) -> None:
    """Skips the test on kernels that know nothing of nodes."""
    if machine.run("test -e /sys/devices/system/node/node1", check=False).rc:
        pytest.skip("this kernel has no CONFIG_NUMA")


def test_node_of_the_controller(machine: Machine, unloaded: Driver) -> None:
    for name in BOTH:
        driver = Driver(machine, name)
        driver.load()
        (address, controller), = controllers(machine).items()
        for path in (f"/sys/bus/pci/devices/{address}",
                     f"/sys/class/nvme/{controller.name}"):
            assert machine.read(f"{path}/numa_node") == "1"
        driver.unload()
