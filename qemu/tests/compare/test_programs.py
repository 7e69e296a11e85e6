# SPDX-License-Identifier: GPL-2.0
"""Programs that use disks in unusual ways have the same results with both drivers."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from guest.architecture import ARCHITECTURE
from guest.machine import Machine
from guest.shape import Format, Shape
from subject.driver import Driver
from subject.pairs import OURS, Outcome, both, outcomes

LIBURING = Path(os.environ["NVME_RS_LIBURING"])
"""liburing, and its tests of disks (scripts/lib/liburing.sh)."""
SKIPPED = 77
"""The exit status of a test that is not for such a disk."""

METADATA = Path(__file__).parents[2] / "programs/metadata.c"
FORMATS = (
    Format(metadata=8),
    Format(metadata=64, block=4096),
    Format(metadata=8, protection=1),
    Format(metadata=8, protection=2, block=4096),
    Format(metadata=16, protection=1),
    Format(metadata=64, protection=3, block=4096, first=True),
)
"""Formats whose metadata has a buffer of its own."""


# One of the tests writes 128 MiB.
@pytest.mark.shape(Shape(namespaces=0, namespace_mib=160))
def test_liburing(machine: Machine, unloaded: Driver) -> None:
    """liburing's tests, each with the disk and with its character device."""
    programs = sorted((LIBURING / "test").glob("*.t"))
    for program in programs:
        machine.put(f"/run/{program.name}", program.read_bytes())
    machine.run("chmod +x /run/*.t")
    said = both(machine, {
        # While the kernel looks for partitions on a new disk, nobody else gets it alone.
        program.name: f"cd /run; for it in $D $G; do for pause in 0 3; do sleep $pause;"
                      f" timeout 100 ./{program.name} $it > /dev/null 2>&1; status=$?;"
                      f" [ $status = {SKIPPED} ] || break; done; echo $status; done"
        for program in programs
    }, "poll_queues=1")
    results = {name: [int(line) for line in lines[:-1]] for name, lines in said.items()}
    # They test what they are given, but for those of regular files.
    assert results["io_uring_passthrough.t"] == [SKIPPED, 0], results
    assert results["iopoll.t"][0] == 0, results
    assert results["read-write.t"][0] == 0, results
    for name, (of_disk, _) in results.items():
        assert of_disk in (0, SKIPPED), (name, results)


def metadata_script(machine: Machine, folder: Path) -> dict[str, str]:
    """Puts programs/metadata.c into the guest. Returns a script that runs it on disks of all
    FORMATS."""
    program = folder / "metadata"
    subprocess.run([ARCHITECTURE.compiler, "-O2", "-Wall", f"-I{LIBURING}/src/include", METADATA,
                    LIBURING / "src/liburing.a", "-o", program], check=True)
    machine.put("/run/metadata", program.read_bytes())
    machine.run("chmod +x /run/metadata")
    script = {}
    for nsid, layout in enumerate(FORMATS, machine.shape.first_formatted_nsid):
        arguments = shlex.join(map(str, (
            layout.block, layout.metadata, layout.protection, int(layout.first))))
        script[str(layout)] = (
            f"it=$(grep -lx {nsid} /sys/block/nvme*/nsid); it=${{it%/nsid}};"
            f" /run/metadata /dev/${{it##*/}} {arguments}")
    return script


def check_metadata(outcome: Outcome) -> None:
    """Checks that all that was written came back."""
    for layout, lines in outcome.items():
        assert lines[-1] == "status 0", (layout, lines)
        assert len(lines) > 100
        for line in lines[:-1]:
            assert line.endswith(", data, metadata"), (layout, line)


@pytest.mark.shape(Shape(cpus=2, namespaces=0, namespace_mib=32, formats=FORMATS))
def test_metadata(machine: Machine, unloaded: Driver, tmp_path: Path) -> None:
    """Metadata of user space, through the block layer, from anywhere in a page."""
    check_metadata(both(machine, metadata_script(machine, tmp_path)))


@pytest.mark.shape(Shape(cpus=2, namespaces=0, namespace_mib=32, iommu=True, formats=FORMATS))
def test_translated_metadata(machine: Machine, unloaded: Driver, tmp_path: Path) -> None:
    """The same behind an IOMMU, where the kernel's own driver maps no more than the first page
    of metadata that is in two (nvme_pci_setup_meta_mptr())."""
    check_metadata(outcomes(machine, OURS, metadata_script(machine, tmp_path), ""))
