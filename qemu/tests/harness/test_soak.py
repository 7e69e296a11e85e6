# SPDX-License-Identifier: GPL-2.0
"""The soak in short form, and a check that it notices growth."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from endurance.soak.levels import MAPPINGS, MEMORY, OBJECTS, Levels, grown, measure
from endurance.soak.run import State, rng_of, soak
from guest.machine import Machine
from guest.shape import Shape
from subject.driver import Driver
from subject.functions import PhysicalFunction

SEED = 4
CYCLES = {"reload": 2, "reset": 2, "unplug": 1, "mix": 2, "enable": 2}

# A machine of its own, as the controller ids differ from a fresh one's afterwards.
pytestmark = pytest.mark.shape(Shape(cpus=2))


def test_soak_goes_on_and_nothing_grows(
        machine: Machine, driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "soak.json"

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soak(machine, driver, State.new(SEED, CYCLES), path, interrupt)
    state = State.load(path)
    assert [phase.done for phase in state.phases] == [CYCLES["reload"], 0, 0, 0, 0]
    assert not state.finished

    said: list[str] = []
    soak(machine, driver, state, path, said.append)
    kept = State.load(path)
    assert kept == state and kept.finished and not kept.faults
    for phase in kept.phases:
        assert phase.done == phase.total == CYCLES[phase.name]
        assert phase.legs and all(leg.end and leg.cycles for leg in phase.legs)
    assert len(said) == len(CYCLES) - 1 and "reset 2/2" in said[0]


def test_cycles_of_a_seed_are_the_same() -> None:
    phase = State.new(SEED, CYCLES).phases[0]
    first, again = (rng_of(SEED, phase).random() for _ in range(2))
    assert first == again != rng_of(SEED, replace(phase, done=1)).random()


def test_growth_in_the_guest_is_noticed(
        machine: Machine, driver: Driver, pf: PhysicalFunction) -> None:
    before = measure(machine, driver, pf)
    # There are several attempts, as in a soak, because the kernel does work of its own.
    assert any(not grown(before, measure(machine, driver, pf), 1) for _ in range(3))
    machine.run("dd if=/dev/zero of=/tmp/grown bs=1M count=32 2> /dev/null")
    process = machine.spawn("exec sleep 1000")
    assert pf.set_vfs(1) == 0
    pf.vfs[0].live()
    found = "\n".join(grown(before, measure(machine, driver, pf), 1))
    assert pf.set_vfs(0) == 0
    machine.run(f"rm /tmp/grown; kill {process}")
    for name in ("Available: -", "threads: ", "interrupts: ", "/sys/kernel/irq: ",
                 "/sys/class/nvme: ", "VFs' num-virtual-queues: 0, now "):
        assert name in found


@pytest.mark.parametrize("kind, name, most", [
    *(("memory", name, most) for name, most in MEMORY.items()),
    ("objects", "kmalloc-64", OBJECTS + 50), ("mappings", "dma", MAPPINGS),
    ("counts", "threads", 0),
])
def test_tolerance(kind: str, name: str, most: int) -> None:
    """The tolerated growth in 100 cycles passes, and one more does not."""
    start = {"memory": dict.fromkeys(MEMORY, 100_000), "objects": {"kmalloc-64": 0},
             "mappings": {"dma": 0}, "counts": {"threads": 0}}
    for change, complaints in ((most, 0), (most + (1 if most >= 0 else -1), 1)):
        end = {key: dict(value) for key, value in start.items()}
        end[kind][name] += change
        assert len(grown(Levels(**start), Levels(**end), 100)) == complaints
    assert asdict(Levels(**start)) == start
