# SPDX-License-Identifier: GPL-2.0
"""A physical function as an ordinary NVMe controller."""

import pytest

from guest.machine import Machine
from subject.controllers import controllers, interrupts
from subject.disks import disk, no_disk
from subject.driver import Driver
from subject.functions import PhysicalFunction
from subject.io import fio, fio_command


def cpus(machine: Machine) -> int:
    return int(machine.run("nproc").out)


def test_probe(machine: Machine, pf: PhysicalFunction) -> None:
    controller = pf.live()
    assert controller.io_queues == cpus(machine)
    assert disk(machine, controller, 1).startswith("/dev/nvme")


def test_interrupt_per_queue(machine: Machine, pf: PhysicalFunction) -> None:
    controller = pf.live()
    before = interrupts(machine, controller)
    assert set(before) == {
        f"{controller.name}q{n}" for n in range(controller.io_queues + 1)}
    device = disk(machine, controller, 1)
    for cpu in range(cpus(machine)):
        machine.run(f"taskset -c {cpu} dd if={device} of=/dev/null bs=4k count=8"
                    " iflag=direct")
    after = interrupts(machine, controller)
    silent = [name for name in after if after[name] == before[name]]
    assert silent in ([], [f"{controller.name}q0"])


def test_nvme_cli(machine: Machine, pf: PhysicalFunction) -> None:
    device = disk(machine, pf.live(), 1)
    assert device in machine.run("nvme list").out
    assert pf.json("id-ctrl")["mn"].strip() == "QEMU NVMe Ctrl"
    assert pf.json("smart-log")["temperature"] > 0
    assert pf.json("list-ns")
    assert machine.run(f"nvme id-ns {device}").out


@pytest.mark.essential
def test_verify_on_all_cpus(machine: Machine, pf: PhysicalFunction) -> None:
    jobs = cpus(machine)
    results = fio(machine, disk(machine, pf.live(), 1),
                  numjobs=jobs, size="4m", offset_increment="4m",
                  cpus_allowed=f"0-{jobs - 1}", cpus_allowed_policy="split")
    assert [r["read"]["io_bytes"] for r in results] == [4 << 20] * jobs


@pytest.mark.parametrize("engine", ["psync", "libaio", "io_uring"])
def test_sizes(machine: Machine, pf: PhysicalFunction, engine: str) -> None:
    shares = {"512": 25, "1536": 15, "4k": 15, "4608": 10, "8k": 10, "12800": 10,
              "64k": 5, "130560": 5, "512k": 3, "1m": 2}
    fio(machine, disk(machine, pf.live(), 1), ioengine=engine, rw="write",
        bssplit=":".join(f"{size}/{share}" for size, share in shares.items()),
        size="4m", iodepth=8)


def test_unaligned_memory(machine: Machine, pf: PhysicalFunction) -> None:
    """Buffers that start anywhere in a page make PRP lists with an offset."""
    fio(machine, disk(machine, pf.live(), 1), iomem_align=512, mem="malloc",
        rw="write", bsrange="512-256k", size="4m", iodepth=4)


def test_buffered(machine: Machine, pf: PhysicalFunction) -> None:
    fio(machine, disk(machine, pf.live(), 1), ioengine="psync", direct=0,
        end_fsync=1, bs="64k", size="16m", iodepth=1)


def test_flush(machine: Machine, pf: PhysicalFunction) -> None:
    device = disk(machine, pf.live(), 1)
    fio(machine, device, fsync=4, bs="4k", size="1m", iodepth=1)
    machine.run(f"nvme flush {device}")


def test_discard_and_write_zeroes(machine: Machine, pf: PhysicalFunction) -> None:
    device = disk(machine, pf.live(), 1)
    fio(machine, device, rw="write", bs="64k", size="2m", iodepth=1)
    machine.run(f"blkdiscard -o 0 -l 1048576 {device}")
    machine.run(f"nvme dsm {device} --ad --slbs=2048 --blocks=256")
    machine.run(f"nvme write-zeroes {device} --start-block=0 --block-count=2047")
    assert machine.run(
        f"dd if={device} bs=1M count=1 iflag=direct | tr -d '\\0' | wc -c"
    ).out.strip() == "0"


def test_reset(machine: Machine, pf: PhysicalFunction) -> None:
    device = disk(machine, pf.live(), 1)
    for _ in range(3):
        machine.run(f"nvme reset {pf.device}")
        pf.live()
        fio(machine, device, size="1m")


@pytest.mark.essential
def test_reset_during_io(machine: Machine, pf: PhysicalFunction) -> None:
    command = fio_command(disk(machine, pf.live(), 1), size="16m")
    process = machine.spawn(command)
    for _ in range(3):
        machine.run(f"sleep 0.3; nvme reset {pf.device}")
        pf.live()
    assert machine.finish(process, 120) == 0


def test_function_reset(machine: Machine, pf: PhysicalFunction) -> None:
    device = disk(machine, pf.live(), 1)
    assert pf.write("reset", 1) == 0
    pf.live()
    fio(machine, device, size="1m")


def test_attached_namespace_appears(machine: Machine, pf: PhysicalFunction) -> None:
    """An asynchronous event makes nvme-core scan for namespaces."""
    controller = pf.live()
    pf.attach(2, controller.cntlid)
    fio(machine, disk(machine, controller, 2), size="1m")
    pf.detach(2, controller.cntlid)
    no_disk(machine, controller, 2)


def test_unbind_and_bind(machine: Machine, driver: Driver,
                         pf: PhysicalFunction) -> None:
    pf.unbind()
    assert not controllers(machine)
    assert pf.bind(driver.name) == 0
    fio(machine, disk(machine, pf.live(), 1), size="1m")


def test_unbind_while_open(machine: Machine, driver: Driver,
                           pf: PhysicalFunction) -> None:
    """What user space holds open keeps neither memory nor interrupts of the device, for
    which the end of the unbinding would wait."""
    controller = pf.live()
    device = disk(machine, controller, 1)
    machine.run("mkfifo /run/close")
    process = machine.spawn(f"exec 3< {device} 4< /dev/{controller.name}; read _ < /run/close")
    machine.run(f"while [ ! -e /proc/{process}/fd/4 ]; do sleep 0.1; done")
    pf.unbind()
    assert pf.bind(driver.name) == 0
    fio(machine, disk(machine, pf.live(), 1), size="1m")
    machine.run("echo > /run/close; rm /run/close")
    assert machine.finish(process) == 0
    assert "cannot be unbound yet" not in machine.run("dmesg").out


@pytest.mark.essential
def test_remove_during_io(machine: Machine, driver: Driver,
                          pf: PhysicalFunction) -> None:
    process = machine.spawn(fio_command(disk(machine, pf.live(), 1),
                                        time_based=1, runtime=30))
    machine.run("sleep 1")
    pf.unbind()
    assert machine.finish(process) != 0
    assert pf.bind(driver.name) == 0
    fio(machine, disk(machine, pf.live(), 1), size="1m")


@pytest.mark.essential
def test_reload(machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    for _ in range(2):
        pf.live()
        driver.unload()
        assert not controllers(machine)
        driver.load()
    fio(machine, disk(machine, pf.live(), 1), size="1m")
