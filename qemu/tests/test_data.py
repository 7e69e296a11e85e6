# SPDX-License-Identifier: GPL-2.0
"""How a command says where its data is."""

from machine import Machine
from nvme import Driver, PhysicalFunction, disk, fio


def list_blocks(machine: Machine, pf: PhysicalFunction) -> dict[int, int]:
    """Returns how many lists the driver has made so far, by their size in bytes."""
    found: dict[int, int] = {}
    for line in machine.read(f"{pf.sysfs}/pools").splitlines()[1:]:
        name, _active, blocks, size, _pages = line.rsplit(maxsplit=4)
        if name.startswith("nvme"):
            found[int(size)] = found.get(int(size), 0) + int(blocks)
    return found


def test_short_lists(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    """Transfers of up to 33 pages do not take a page for their list."""
    pf.unbind()
    assert pf.bind(driver.name) == 0
    device = disk(machine, pf.live(), 1)
    fio(machine, device, bs="64k", size="4m", iomem_align="4k")
    made = list_blocks(machine, pf)
    assert made[256] and not made[4096]
    fio(machine, device, bs="256k", size="4m", iomem_align="4k")
    assert list_blocks(machine, pf)[4096]
