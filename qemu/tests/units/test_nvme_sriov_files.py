# SPDX-License-Identifier: GPL-2.0
"""What is installed with nvme-sriov: its program, man page, completion, unit and rule."""

import re
import subprocess
from pathlib import Path

import pytest

from subject.fake_kernel import TOOL

from nvme_sriov.file import parse_lines

COMMANDS = ("list", "set", "enable", "disable", "apply", "save", "top", "doctor")


def output(*command: object) -> str:
    """Returns what a program prints."""
    return subprocess.run(list(map(str, command)), cwd="/", check=True, capture_output=True,
                          text=True).stdout


def options(command: str) -> set[str]:
    """Returns the options of a command that have long names."""
    shown = output(TOOL / "nvme-sriov", command, "--help")
    return set(re.findall(r"--[a-z-]+", shown)) - {"--help"}


def test_launcher() -> None:
    """The program works from any folder, and says what its commands are."""
    shown = output(TOOL / "nvme-sriov", "--help")
    assert all(f"\n    {name} " in shown for name in COMMANDS)
    assert "\nSet what a VF is to have.\n" in output(TOOL / "nvme-sriov", "set", "--help")


def test_manual() -> None:
    """It has every command and every option."""
    manual = (TOOL / "nvme-sriov.8").read_text()
    for name in COMMANDS:
        assert f"\n.It Ic {name}\n" in manual and f"\n.Cm {name}\n" in manual
        for option in options(name) - {"--file", "--delay", "--iterations",
                                       "--output-format"}:
            assert f"Fl {option[1:]}" in manual, option


@pytest.mark.parametrize("name", COMMANDS)
def test_completion(name: str) -> None:
    """It has every command and every option."""
    def complete(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("nvme-sriov", *words))
        return output("bash", "-c", f"source {TOOL}/completion.bash; COMP_WORDS=({line});"
                      f" COMP_CWORD={len(words)}; _nvme_sriov; echo ${{COMPREPLY[@]}}").split()
    assert complete(name[:2])[:1] == [name] or name in complete(name[:1])
    assert set(complete(name, "--")) - {"--help"} == options(name)
    if name == "set":
        assert complete(name, "nvme0", "") == ["vf"]
        assert complete(name, "nvme0", "vf", "0", "q") == ["queues"]
        assert complete(name, "nvme0", "vf", "0", "driver", "vf") == ["vfio-pci"]


def test_installation(tmp_path: Path) -> None:
    """What is installed works, and the unit starts what is there."""
    output("make", "-s", "-C", TOOL, "install", f"DESTDIR={tmp_path}")
    program = tmp_path / "usr/sbin/nvme-sriov"
    assert output(program, "--help") == output(TOOL / "nvme-sriov", "--help")
    unit = (tmp_path / "usr/lib/systemd/system/nvme-sriov@.service").read_text()
    assert "\nExecStart=/usr/sbin/nvme-sriov apply %i\n" in unit
    rule = (tmp_path / "usr/lib/udev/rules.d/90-nvme-sriov.rules").read_text()
    assert "start nvme-sriov@%k.service" in rule
    example = tmp_path / "usr/share/doc/nvme-sriov/examples/nvme-sriov.conf"
    assert len(parse_lines(example.read_text().splitlines(), "x")) == 2
