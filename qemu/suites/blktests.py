# SPDX-License-Identifier: GPL-2.0
"""Runs blktests with each of the drivers, and prints where they differ.

The tests are those that use a device: they get a disk of a physical function without VFs, or
of its VF. Each driver has a guest for each of the two.
"""

import argparse
import io
import itertools
import re
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

from guest.errors import MachineError
from guest.log import faults
from guest.machine import Machine, boot
from guest.shape import FIRST_PRIVATE_NSID, Format, Shape
from project import BUILD
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions

DRIVERS = ("nvme", "nvme_rs")
KINDS = ("PF", "VF")
COPY = BUILD / "blktests"
"""The sources, built for the guest."""
IN_GUEST = "/root/blktests"
SHAPE = Shape(cpus=4, namespaces=1, namespace_mib=1024, debian=True)
PROTECTED = replace(SHAPE, iommu=True, formats=(Format(metadata=8, protection=1),))
"""With protection information, and an IOMMU that reports what nobody mapped."""
REMOVAL = "nvme/032"
"""The test that removes the function. A rescan of the bus brings it back, but for a VF."""
_SECONDS = 60
"""Seconds for those tests that would go on for as long as they are let."""
_LIMIT = 1800.0
"""Seconds that one test may take."""

Results = dict[tuple[str, str], str]
"""Statuses by test and by what it was run on."""


def build(source: Path) -> None:
    """Copies the suite, and builds its programs with the root's compilers."""
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(source, COPY, symlinks=True,
                    ignore=shutil.ignore_patterns(".git", "results"))
    subprocess.run(["make", "--silent", "-C", str(COPY), "CC=gcc-14", "CXX=clang++"],
                   stdout=subprocess.DEVNULL, check=True)


def with_device(patterns: list[str]) -> list[str]:
    """Returns the names of the tests that use a device, and match a pattern."""
    found = []
    for path in sorted((COPY / "tests").glob("*/[0-9][0-9][0-9]")):
        name = f"{path.parent.name}/{path.name}"
        if (any(re.fullmatch(pattern, name) for pattern in patterns)
                and re.search(r"^test_device", path.read_text(), re.M)):
            found.append(name)
    return sorted(found, key=lambda name: name == REMOVAL)


def install(machine: Machine) -> None:
    """Puts the suite into the guest."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        tar.add(COPY, arcname=Path(IN_GUEST).name)
    machine.put("/root/blktests.tar.gz", archive.getvalue())
    machine.run("tar -C /root -xzf /root/blktests.tar.gz")


def enable_vf(machine: Machine, pf: PhysicalFunction, driver: str) -> None:
    """Enables a VF: by hand, where the driver cannot."""
    if driver == "nvme_rs":
        assert pf.set_vfs(1) == 0
        return
    for kind in range(2):
        pf.manage(0, f"--rt={kind} --act=8 --nr=3")
    assert pf.write("sriov_drivers_autoprobe", 0) == 0
    assert pf.set_vfs(1) == 0
    pf.manage(0, "--act=9")
    assert pf.write("sriov_drivers_autoprobe", 1) == 0
    assert pf.vfs[0].bind(driver) == 0


def device(machine: Machine, name: str, kind: str) -> str:
    """Returns a disk of the physical function, which has no VF, or of its VF, with a driver."""
    # Of one subsystem, which would make one disk of a namespace's paths.
    machine.run("modprobe -r nvme nvme-fabrics && modprobe nvme-core multipath=N")
    assert machine.read("/sys/module/nvme_core/parameters/multipath") == "N"
    Driver(machine, name).load()
    pf = physical_functions(machine)[0]
    shape = machine.shape
    # A namespace with a format is attached to all.
    nsid = shape.first_formatted_nsid if shape.formats else 1
    if kind == "PF":
        return disk(machine, pf.live(), nsid)
    enable_vf(machine, pf, name)
    vf = pf.vfs[0].live()
    if not shape.formats:
        nsid = FIRST_PRIVATE_NSID
        pf.attach(nsid, vf.cntlid)
    return disk(machine, vf, nsid)


def run(machine: Machine, tests: list[str], path: str) -> dict[str, str]:
    """Runs tests on a disk, and returns their statuses."""
    machine.put(f"{IN_GUEST}/config",
                f"TEST_DEVS=({path})\nDEVICE_ONLY=1\nTIMEOUT={_SECONDS}\n".encode())
    found = {}
    for test in tests:
        began = time.monotonic()
        machine.run(f"cd {IN_GUEST} && ./check {test}", _LIMIT, check=False)
        # A test that is run with several transports has a folder for each.
        folder = f"{IN_GUEST}/results/{Path(path).name}"
        said = machine.run(f"cat {folder}/{test} {folder}_*/{test}", check=False).out
        statuses = set(re.findall(r"^status\t(.*)", said, re.M))
        found[test] = "/".join(sorted(statuses)) or "none"
        print(f"  {test}: {found[test]} ({time.monotonic() - began:.0f} s)", flush=True)
        machine.sync_log()
        for line in faults(machine.log.window()):
            print(f"    {line}", flush=True)
        machine.log.close_window()
    return found


def show(results: dict[str, Results]) -> None:
    """Prints how often each status is, and where the drivers differ."""
    for name, found in results.items():
        counts = {status: list(found.values()).count(status)
                  for status in sorted(set(found.values()))}
        print(f"{name:<8} " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if set(results) != set(DRIVERS):
        return
    theirs, ours = (results[name] for name in DRIVERS)
    differ = [key for key in ours if ours[key] != theirs[key]]
    if differ:
        print(f"\n{'test':<10}  {'on':<3}  {DRIVERS[0]:<8}  {DRIVERS[1]:<8}")
    for test, kind in differ:
        print(f"{test:<10}  {kind:<3}  {theirs[test, kind]:<8}  {ours[test, kind]:<8}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="qemu/blktests", description=__doc__)
    parser.add_argument("folder", type=Path, help="a clone of blktests")
    parser.add_argument("tests", nargs="*", default=["block/.*", "nvme/.*"], metavar="TEST",
                        help="tests to run, as regular expressions (%(default)s)")
    parser.add_argument("--driver", choices=DRIVERS, help="only with this driver")
    parser.add_argument("--protected", action="store_const", const=PROTECTED, default=SHAPE,
                        dest="shape", help="on 512+8 with protection information, and an IOMMU")
    arguments = parser.parse_args()
    if not (arguments.folder / "check").exists():
        parser.error(f"{arguments.folder} is no clone of blktests")

    build(arguments.folder)
    tests = with_device(arguments.tests)
    results: dict[str, Results] = {
        name: {} for name in ((arguments.driver,) if arguments.driver else DRIVERS)}
    for name, kind in itertools.product(results, KINDS):
        print(f"{name}, {kind}:", flush=True)
        machine = boot(arguments.shape)
        try:
            install(machine)
            statuses = run(machine, tests, device(machine, name, kind))
            results[name] |= {(test, kind): status for test, status in statuses.items()}
        except MachineError as error:
            print(f"\n{machine.log.window()}\n{error}", file=sys.stderr)
            return 1
        finally:
            machine.stop()
    print()
    show(results)
    theirs, ours = (results.get(name, {}) for name in DRIVERS)
    return int(any("fail" in status and "fail" not in theirs.get(key, "") for key, status in ours.items()))


if __name__ == "__main__":
    sys.exit(main())
