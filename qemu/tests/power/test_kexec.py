# SPDX-License-Identifier: GPL-2.0
"""kexec: a kernel starts the next one without a reset of the machine."""

import gzip

import pytest

from guest.kernel import Kernel
from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, attached
from subject.io import fio

VFS = 4


@pytest.mark.shape(Shape(cpus=2))
def test_kexec_with_vfs(machine: Machine, pf: PhysicalFunction,
                        request: pytest.FixtureRequest) -> None:
    """The second kernel finds a device whose VFs were never disabled. The VFs do not keep the
    namespaces of the first kernel, unless these are set again."""
    if machine.run("test -e /sys/kernel/kexec_loaded", check=False).rc:
        pytest.skip("this kernel has no kexec")
    for vf in range(VFS):
        assert pf.set(vf, "namespaces", FIRST_PRIVATE_NSID + vf) == 0
    assert pf.set_vfs(VFS) == 0
    for vf in pf.vfs:
        vf.live()
    machine.put("/root/kernel", Kernel.from_environment().image.read_bytes())
    machine.put("/root/initramfs", gzip.compress(machine.initramfs.read_bytes(), 1))
    # One CPU, as an emulated guest with several sometimes hangs before init; see boot().
    # Checksums of all that take the emulated CPU a minute.
    machine.run("kexec -l --no-checks /root/kernel --initrd=/root/initramfs"
                " --command-line=\"$(cat /proc/cmdline) nr_cpus=1\"")
    # kexec -e shuts down all devices, VFs before their PF, and does nothing else.
    machine.spawn("sleep 1; kexec -e")
    machine.wait_for(lambda: "kexec_core: Starting new kernel" in machine.log.window(),
                     "the end of the first kernel")
    machine.wait_for_boot()
    driver = Driver(machine, request.config.getoption("driver"))
    driver.load()
    pf.live()
    assert pf.num_vfs == 0 and not pf.vfs
    for vf in range(1, VFS):
        assert pf.set(vf, "namespaces", FIRST_PRIVATE_NSID + vf) == 0
    assert pf.set_vfs(VFS) == 0
    first = pf.vfs[0].live()
    disk(machine, first, 1)
    assert first.cntlid not in attached(pf, FIRST_PRIVATE_NSID)
    assert pf.set(0, "namespaces", FIRST_PRIVATE_NSID) == 0
    disks = [disk(machine, vf.live(), FIRST_PRIVATE_NSID + number)
             for number, vf in enumerate(pf.vfs)]
    fio(machine, *disks, size="1m")
    assert pf.set_vfs(0) == 0
    assert pf.pool("queues")["free"] == machine.shape.vq_flexible
