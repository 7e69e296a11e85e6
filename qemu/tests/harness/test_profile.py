# SPDX-License-Identifier: GPL-2.0
"""The profile, and a check that nvme-rs has gained no instructions."""

import json
from html import unescape
from pathlib import Path

import pytest

from benchmark import measures
from benchmark.guest import DRIVERS, Guest
from benchmark.profile import recorded
from benchmark.profile.__main__ import write
from benchmark.profile.profile import Part, Profile, part
from benchmark.profile.table import short, table
from benchmark.symbols import Cost, Function
from faults.rules import Faults
from guest.image import HAS_DETECTORS

POINT = recorded.POINTS[0]
IOS = 2000

stock = pytest.mark.skipif(HAS_DETECTORS, reason="it is about a stock kernel's instructions")


@stock
@pytest.mark.shape(POINT.shape)
def test_functions_of_both_drivers(both_drivers: Guest, tmp_path: Path) -> None:
    profiles = {}
    for name in DRIVERS:
        both_drivers.use(name)
        measures.warm_up(both_drivers, POINT)
        found = profiles[name] = measures.profile(both_drivers, POINT, IOS)
        # QEMU and its plugin count the same instructions.
        assert found.sum(*Part) == pytest.approx(found.instructions, rel=0.005)
        assert {function.module for function in found.costs
                if part(function) is Part.DRIVER and found.costs[function].calls > 0.01} == {name}
        assert found.own >= found.sum(Part.DRIVER) > 100
        assert found.sum(Part.CORE) > 50
        # nvme-core sets up each command once.
        setup = found.costs[Function("nvme_setup_cmd", "nvme_core")]
        assert setup.calls == pytest.approx(1, rel=0.01)
    ours = [function.name for function in profiles["nvme_rs"].costs
            if function.module == "nvme_rs"]
    assert any("nvme_rs::" in name for name in ours)
    assert not any(name.startswith("_R") for name in ours)

    write({POINT: profiles}, tmp_path, False)
    said = json.loads((tmp_path / "profile.json").read_text())["points"][POINT.name]
    assert all(said[name]["own"] == profiles[name].own for name in DRIVERS)
    drawn = unescape((tmp_path / "randread-4k-1x32-batch16.svg").read_text())
    shown = (tmp_path / "profile.txt").read_text()
    for function, cost in (pair for name in DRIVERS for pair in profiles[name].costs.items()):
        if part(function).own and cost.instructions > 2:
            assert short(function.name) in shown and short(function.name) in drawn


@stock
@pytest.mark.shape(POINT.shape)
def test_own_text_is_what_is_recorded(both_drivers: Guest) -> None:
    both_drivers.use(DRIVERS[1])
    if Faults(both_drivers.machine).available:
        pytest.skip("the figures are of a driver that makes up no faults")
    own = {}
    for point in recorded.POINTS:
        measures.warm_up(both_drivers, point)
        own[point] = measures.profile(both_drivers, point).own
    assert recorded.complaints(own) == []


def test_own_text_that_is_not_what_is_recorded(tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recorded.json"
    path.write_text("{}")
    monkeypatch.setattr(recorded, "_FILE", path)
    missing, = recorded.complaints({POINT: 300.0})
    assert "is recorded" in missing and "--record" in missing
    recorded.record({POINT: 300.0})
    assert recorded.figure(POINT) == 300
    assert recorded.complaints({POINT: 305.0}) == recorded.complaints({POINT: 295.0}) == []
    more, = recorded.complaints({POINT: 307.0})
    less, = recorded.complaints({POINT: 293.0})
    assert "2.3% more" in more and "--record" not in more
    assert "2.3% less" in less and "--record" in less


def test_table() -> None:
    theirs = Profile(1000.0, {
        Function("nvme_irq", "nvme"): Cost(40.0, 0.5),
        Function("nvme_setup_cmd", "nvme_core"): Cost(80.0, 1.0),
        Function("dma_map_page_attrs", ""): Cost(13.0, 1.0),
        Function("dma_unmap_phys", ""): Cost(61.0, 1.0),
        Function("memset", ""): Cost(20.0, 2.0),
        Function("programs", "programs"): Cost(700.0, 0.0),
    })
    ours = Profile(950.0, {
        Function("<a::B<c::D<e::F>>>::ring", "nvme_rs"): Cost(30.0, 0.5),
        Function("nvme_setup_cmd", "nvme_core"): Cost(80.0, 1.0),
        Function("rust_helper_writel", ""): Cost(2.0, 0.5),
        Function("memset", ""): Cost(21.0, 2.0),
        Function("programs", "programs"): Cost(700.0, 0.0),
    })
    assert theirs.own == 53 and ours.own == 32
    rows = list(table("a point", {"nvme": theirs, "nvme_rs": ours}))
    words = [row.split() for row in rows]
    assert ["1000.0", "950.0", "0.950", "whole", "guest"] in words
    assert ["53.0", "32.0", "0.604", "own", "text"] in words
    assert ["40.0", "0.500", "nvme_irq"] in words
    assert ["30.0", "0.500", "<a::B<D<F>>>::ring"] in words
    assert ["61.0", "1.000", "dma_unmap_phys"] in words
    # Chance makes such differences.
    assert not any("memset" in row for row in rows)
    assert any("memset" in row for row in table("", {"nvme": theirs, "nvme_rs": ours}, True))


def test_short_names() -> None:
    assert short("kernel_ext::nvme::batch::send::<nvme_rs::controller::Nvme>") == (
        "kernel_ext::nvme::batch::send::<Nvme>")
    assert short("<nvme_rs::queue::Queue<a::b::C, d::E> as f::G>::h") == (
        "<nvme_rs::queue::Queue<C, E> as f::G>::h")
    assert short("nvme_irq") == "nvme_irq"
