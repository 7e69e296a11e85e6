# SPDX-License-Identifier: GPL-2.0
"""The benchmark in short form, and a check that it compares two different drivers."""

import subprocess
from pathlib import Path

import pytest

from benchmark import build, measures
from benchmark.guest import DRIVERS, Guest
from benchmark.plot import plot
from benchmark.point import Point, named, points
from benchmark.result import Ratio, Result, complaints, load, save, together
from benchmark.table import table
from guest.errors import MachineError
from guest.image import HAS_DETECTORS

POINT = Point("count", "randread", shadow=True)
IOS = 1000
MOST = 5_000_000 if HAS_DETECTORS else 50_000
"""More instructions than an I/O costs: 10,000 are usual, 750,000 with the detectors."""


@pytest.mark.shape(POINT.shape)
def test_point_under_both_drivers(both_drivers: Guest, tmp_path: Path) -> None:
    guest = both_drivers
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
        assert 100 < said["own"] < said["instructions"] / 5
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


@pytest.mark.shape(POINT.shape)
def test_fio_did_less_than_it_was_told(both_drivers: Guest) -> None:
    both_drivers.use(DRIVERS[0])
    both_drivers.run(POINT, 60, number_ios=8, size="32k")
    with pytest.raises(MachineError, match="was to do 8 I/Os in each of 1 jobs, and did 4"):
        both_drivers.run(POINT, 60, number_ios=8, size="16k")


def test_disk_has_room_for_all_ios() -> None:
    most = measures.COUNTED_IOS + measures.FEW
    assert all(most * point.kib <= 1024 * point.shape.namespace_mib
               for point in points() if point.clock == "count")


def rounds(point: Point, measure: str, *ratios: float, inlined: bool = True) -> Result:
    """Returns a result with a ratio for each round."""
    result = Result(point, inlined=inlined)
    for base, ratio in enumerate(ratios, 100):
        for name, factor in zip(DRIVERS, (1, ratio)):
            result.add(name, {measure: base * factor})
    return result


@pytest.mark.parametrize("point, inlined, own, whole", (
    ("randread-4k-1x32-batch16", True, 0.70, 0.98),
    ("randwrite-4k-1x32-batch16-shadow", True, 0.70, 0.98),
    ("write-128k-1x32-batch16", True, 0.80, 0.99),
    ("randread-4k-1x32", True, 0.78, 0.99),
    ("randread-4k-1x128", True, 0.85, 0.99),
    ("randread-4k-1x32-batch16", False, 0.95, 1.0),
    ("randread-4k-1x32", False, 0.95, 1.0),
))
def test_ratio_of_instructions_beyond_its_limit(point: str, inlined: bool, own: float,
                                                whole: float) -> None:
    found = next(one for one in points() if one.name == f"count:{point}")
    for measure, limit, name in ("own", own, "own text"), ("instructions", whole, "instructions"):
        beyond = [limit + 0.002, limit + 0.001, limit + 0.003]
        text = "".join(rounds(found, measure, *beyond, inlined=inlined).complaints())
        assert f"{point}: ratio of {name} is {limit + 0.002:.3f}" in text
        assert not list(rounds(found, measure, limit, limit, inlined=inlined).complaints())


def test_ratio_of_instructions_that_chance_decides() -> None:
    unclear = 0.985, 0.992, 0.995
    assert not list(rounds(POINT, "instructions", *unclear).complaints())
    # In batches there is less chance, and so a limit for the median.
    batches, = (point for point in points() if point.name == "count:read-128k-1x32-batch16")
    assert list(rounds(batches, "instructions", *unclear).complaints())
    # While the CPU polls, it executes what it likes.
    polled, *_ = named("count 1x32-polled", points())
    assert not list(rounds(polled, "instructions", 1.5, 1.6).complaints())
    assert not list(rounds(polled, "own", 1.5, 1.6).complaints())


def test_iops_of_all_points_below_the_limit() -> None:
    few = [rounds(POINT, "iops", 0.97, 0.98), rounds(POINT, "iops", 0.99, 0.98)]
    assert "all points together: ratio of IOPS is 0.980" in "".join(complaints(few))
    # This is no less with 95 % confidence.
    assert not complaints([rounds(POINT, "iops", 0.8, 1.2, 0.9, 1.05)])


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


@pytest.mark.parametrize("called, inlined", (("rust_helper_writel", False), ("memset", True)))
def test_build_that_is_inlined_calls_no_helper(called: str, inlined: bool, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "module.o"
    subprocess.run(["gcc-14", "-x", "c", "-c", "-o", str(module), "-"], text=True, check=True,
                   input=f"void {called}(void); void f(void) {{ {called}(); }}")
    monkeypatch.setattr(build, "MODULE", module)
    assert build.inlined.__wrapped__() == inlined
