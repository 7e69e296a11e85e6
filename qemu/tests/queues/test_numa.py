# SPDX-License-Identifier: GPL-2.0
"""NUMA: a controller on one of two nodes, compared with the kernel's own driver."""

import pytest

from guest.machine import Machine
from guest.shape import Shape
from subject.controllers import controllers
from subject.disks import disk
from subject.driver import Driver
from subject.io import fio

BOTH = "nvme_rs", "nvme"
SHAPE = Shape(nodes=2, vfs=0, namespaces=0)
SMALL = 256
"""The size of the PRP lists for I/O of 64 KiB."""

pytestmark = pytest.mark.shape(SHAPE)


@pytest.fixture(autouse=True)
def numa(machine: Machine) -> None:
    """Skips the test on kernels without NUMA support."""
    if machine.run("test -e /sys/devices/system/node/node1", check=False).rc:
        pytest.skip("this kernel has no CONFIG_NUMA")


def used_pools(machine: Machine, address: str) -> int:
    """Returns the number of pools from which lists have been allocated."""
    lines = machine.read(f"/sys/bus/pci/devices/{address}/pools").splitlines()[1:]
    pools = [line.rsplit(maxsplit=4) for line in lines]
    return sum(name.startswith("nvme") and int(size) == SMALL and int(blocks) > 0
               for name, _active, blocks, size, _pages in pools)


def test_node_of_the_controller(machine: Machine, unloaded: Driver) -> None:
    for name in BOTH:
        driver = Driver(machine, name)
        driver.load()
        (address, controller), = controllers(machine).items()
        for path in (f"/sys/bus/pci/devices/{address}",
                     f"/sys/class/nvme/{controller.name}"):
            assert machine.read(f"{path}/numa_node") == "1"
        driver.unload()


def test_lists_of_a_node(machine: Machine, unloaded: Driver) -> None:
    """CPUs of different nodes allocate their lists from different pools."""
    for name in BOTH:
        driver = Driver(machine, name)
        # An SGL for memory that happens to be in one piece has no list.
        driver.load("sgl_threshold=0")
        (address, controller), = controllers(machine).items()
        device = disk(machine, controller, 1)
        assert used_pools(machine, address) == 0
        for cpu, expected in (2, 1), (3, 1), (0, 2), (1, 2):
            fio(machine, device, bs="64k", size="1m", iomem_align="4k",
                cpus_allowed=cpu)
            assert used_pools(machine, address) == expected
        driver.unload()
