# SPDX-License-Identifier: GPL-2.0
"""The benchmark in short form, and a check that it compares two different drivers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import measures
from benchmark.guest import DRIVERS, Guest
from benchmark.plot import plot
from benchmark.point import Point, points
from benchmark.result import Ratio, Result, load, save, together
from benchmark.table import table
from guest.errors import MachineError
from guest.image import HAS_DETECTORS
from guest.machine import Machine
from subject.driver import Driver

POINT = Point("count", "randread", shadow=True)
IOS = 1000
MOST = 5_000_000 if HAS_DETECTORS else 50_000
"""More instructions than an I/O costs: 10,000 are usual, 750,000 with the detectors."""


@pytest.fixture
def guest(machine: Machine) -> Iterator[Guest]:
    """Yields a guest with both drivers, and unloads them afterwards."""
    found = Guest(machine)
    yield found
    if machine.alive:
        # The driver without the device must not be blamed for memory of the other one.
        found.function.unbind()
        for name in DRIVERS:
            Driver(machine, name).unload()
        machine.run("rmmod nvme-core")


@pytest.mark.shape(POINT.shape)
def test_point_under_both_drivers(guest: Guest, tmp_path: Path) -> None:
    result = Result(POINT)
    reads = {}
    for name, other in zip(DRIVERS, reversed(DRIVERS)):
        guest.use(name)
        before = sectors(guest)
        for measured in (measures.trace(guest, POINT, IOS),
                         measures.count(guest, POINT, IOS),
                         measures.time(guest, POINT, 0.05)):
            result.add(name, measured)
        guest.check(name)
        with pytest.raises(MachineError, match=name):
            guest.check(other)
        reads[name] = sectors(guest) - before
        said = {key: values[0] for key, values in result.values[name].items()}
        assert 2000 < said["instructions"] < MOST
        # A CPU that executes 10^9 instructions a second.
        assert 1e9 / MOST < said["iops"] < 1e9 / 2000
        assert 0 < said["p50"] <= said["p99"] < 1e6
        assert 0 < said["cpu"] < MOST / 1000
        assert 0 < said["irq"] <= 1 and 0 < said["cq"] <= 1 and 0 < said["sq"] <= 1
    # All I/O went through this disk: two runs of IOS, and more.
    assert all(count > 8 * 2 * IOS for count in reads.values())

    path = tmp_path / "bench.json"
    save([result], path)
    assert load(path) == [result]
    assert 0.5 < result.ratio("instructions").value < 2
    assert POINT.name in "\n".join(table([result]))
    assert [drawn.read_text().count("<svg") for drawn in plot([result], tmp_path)] == [1]


def sectors(guest: Guest) -> int:
    """Returns the number of sectors of 512 bytes that were read from the disk."""
    name = guest.disk.removeprefix("/dev/")
    return int(guest.machine.read(f"/sys/block/{name}/stat").split()[2])


def test_ratio_beyond_its_limit() -> None:
    for measure, value in ("instructions", 1.06), ("iops", 0.94):
        result = Result(POINT)
        for name, factor in zip(DRIVERS, (1, value)):
            for base in (100, 110, 120):
                result.add(name, {measure: base * factor})
        assert f"of {measure} is {value:.3f}" in "".join(result.complaints())
        result.values[DRIVERS[1]] = result.values[DRIVERS[0]]
        assert not result.complaints()


def test_all_rounds_together() -> None:
    one, other = Result(POINT), Result(POINT)
    for result, factors in (one, (0.5, 2)), (other, (1, 1)):
        for factor in factors:
            result.add(DRIVERS[0], {"iops": 100})
            result.add(DRIVERS[1], {"iops": 100 * factor})
    assert together([other], "iops") == Ratio(1, 1, 1)
    found = together([one, other], "iops")
    assert found.value == pytest.approx(1)
    # Two of four rounds are off by a factor of 2.
    assert found.most == pytest.approx(2 ** (1.96 * (2 / 3) ** 0.5 / 2), rel=1e-3)
    assert found.least == pytest.approx(1 / found.most)


def test_points_have_names_of_their_own() -> None:
    names = [point.name for point in points()]
    assert len(set(names)) == len(names)
