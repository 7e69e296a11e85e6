# SPDX-License-Identifier: GPL-2.0
"""The torture in short form, and a check that it notices wrong states."""

import random
from collections.abc import Iterator

import pytest

from endurance.torture.actors import KINDS, STEPS, Actor, Kind, Place, Step, Trait, actors
from endurance.torture.exclusions import excluded
from endurance.torture.leg import COMMON, MOST, Leg, shape_of
from endurance.torture.results import Job, Operation, Table, Wrong, named, parse
from endurance.torture.round import BLOCKED, FOLDER, SOURCES, Round, choose
from faults.backend import slow
from guest.machine import Machine
from guest.shape import FIRST_PRIVATE_NSID, Shape
from subject.disks import disk
from subject.driver import Driver
from subject.functions import PhysicalFunction

SEED = "7"
ROUNDS = 3
EVERYBODY = {kind.name for kind in KINDS}
NSID = FIRST_PRIVATE_NSID + 3
"""A namespace that is attached by hand."""
PLACES = [Place(COMMON, f"0000:0{bus}:00.0", f"0000:00:0{bus + 1}.0") for bus in (1, 2)]

pytestmark = pytest.mark.shape(COMMON)


@pytest.fixture
def leg(machine: Machine, driver: Driver) -> Iterator[Leg]:
    """Yields a leg whose functions have no VFs before and after the test."""
    found = Leg(machine, driver, EVERYBODY)
    found.quiet.clean()
    yield found
    if machine.alive:
        found.quiet.restore({Trait.UNBINDS})
        found.quiet.clean()


def work(machine: Machine, leg: Leg, *steps: str, traits: frozenset[Trait] = frozenset(),
         seconds: float = 3) -> Round:
    """Makes an actor do some steps once."""
    def listed(_: random.Random, __: Place) -> list[Step]:
        return [(0.0, step) for step in steps]

    actor = Actor(Kind("somebody", traits, listed), leg.actors[0].place, 0)
    return Round(machine, 0, [actor], random.Random(SEED), seconds)


# A machine of its own, as the controller ids differ from a fresh one's afterwards.
def test_torture(machine: Machine, driver: Driver, leg: Leg) -> None:
    table = Table()
    said: list[str] = []
    for number in range(ROUNDS):
        leg.round(SEED, number, table, said.append)
    print("\n".join([*said, str(table)]))
    assert len(said) == ROUNDS
    assert table.operations and str(table).splitlines()[1:]


def test_seed() -> None:
    """The seed decides on machines, actors, and their operations."""
    def plan(seed: str) -> list[str]:
        rng = random.Random(seed)
        chosen = choose(rng, actors(PLACES, EVERYBODY, True), MOST)
        return [actor.script(rng) if actor.kind.steps else actor.name for actor in chosen]

    assert plan("1") == plan("1") != plan("2")
    assert shape_of("1", 0) == shape_of("1", 0)
    assert len({shape_of(str(seed), 0) for seed in range(50)}) == 4


@pytest.mark.parametrize("plain", (False, True))
def test_exclusions(plain: bool) -> None:
    """Excluded actors are never in one round, and each actor has its turn, also together with
    others of its kind."""
    shape = Shape(**vars(COMMON) | {"plain_ports": plain})
    places = [Place(shape, place.pf, place.port) for place in PLACES]
    everybody = actors(places, EVERYBODY, True)
    seen: set[str] = set()
    sizes: set[int] = set()
    for seed in range(500):
        chosen = choose(random.Random(seed), everybody, MOST)
        seen |= {actor.name for actor in chosen}
        sizes.add(len(chosen))
        assert not [True for actor in chosen for other in chosen
                    if actor != other and excluded(actor, other)]
    assert seen == {actor.name for actor in everybody}
    assert sizes == set(range(2, MOST + 1))


def test_scripts() -> None:
    """guest.sh defines each operation of the actors."""
    guest = (SOURCES / "guest.sh").read_text()
    for actor in actors(PLACES, EVERYBODY, True):
        if actor.kind.steps:
            steps = actor.kind.steps(random.Random(SEED), actor.place)
            assert 0 < len(steps) <= STEPS
            for _, operation in steps:
                assert f"\n{operation.split()[0]}()\n" in guest


def test_results() -> None:
    operations, jobs = parse("""\
log.vfs.0:B 10.50 enable
log.fio:B 10.60 use_disks
log.vfs.0:E 11.75 enable Device or resource busy
log.fio:F 11.80 3/nvme0n2 5
log.fio:E 11.80 use_disks status 1
log.vfs.0:B 11.90 enable
""")
    assert operations == [Operation("vfs.0", "enable", 1.25, "EBUSY"),
                          Operation("fio", "use_disks", pytest.approx(1.2), "status 1")]
    assert jobs == [Job(3, "nvme0n2", 5)]
    assert named("No such device") == "ENODEV" and named("ok") == "ok"
    assert all(operation.permitted(losing=False) for operation in operations)
    failed = Operation("vfs.0", "enable", 1.0, "EIO")
    assert failed.permitted(losing=True) and not failed.permitted(losing=False)
    shown = str(Table(operations)).splitlines()
    assert shown[1].split() == ["enable", "1", "1.25", "s", "1.25", "s", "EBUSY", "1"]


def test_what_is_left_is_noticed(pf: PhysicalFunction, leg: Leg) -> None:
    """The check notices a namespace that is attached to the controller of a disabled VF."""
    assert pf.set_vfs(1) == 0
    cntlid = pf.vfs[0].live().cntlid
    leg.quiet.clean()
    pf.attach(NSID, cntlid)
    with pytest.raises(Wrong, match=f"namespace {NSID} is left to {cntlid}$"):
        leg.quiet.check_nothing_left()
    pf.detach(NSID, cntlid)
    leg.quiet.check_nothing_left()


def test_other_namespaces_are_noticed(pf: PhysicalFunction, leg: Leg) -> None:
    assert pf.set(0, "namespaces", NSID) == 0
    assert pf.set_vfs(1) == 0
    cntlid = pf.vfs[0].live().cntlid
    leg.quiet.check_attached()
    pf.attach(NSID + 1, cntlid)
    with pytest.raises(Wrong, match=rf"VF 0: '{NSID}' is set, '1 {NSID} {NSID + 1}' is"):
        leg.quiet.check_attached()


def test_a_vf_that_is_offline_is_noticed(pf: PhysicalFunction, leg: Leg) -> None:
    assert pf.set_vfs(2) == 0
    for vf in pf.vfs:
        vf.live()
    leg.quiet.check_resources(pf)
    pf.manage(1, "--act=7")
    with pytest.raises(Wrong, match="VF 1 of 2: online False"):
        leg.quiet.check_resources(pf)


def test_a_dead_function_is_noticed(pf: PhysicalFunction, leg: Leg,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endurance.torture.quiet.LIVE", 2)
    pf.unbind()
    with pytest.raises(Wrong, match=f"PF, {pf.address}, is not live"):
        leg.quiet.restore(set())


def test_a_blocked_task_is_noticed(machine: Machine, pf: PhysicalFunction, leg: Leg) -> None:
    """The watcher reports a task that reads from a slow disk for longer than its limit."""
    device = disk(machine, pf.live(), 1)
    with slow(machine, 1, 4096):
        read = work(machine, leg, f"try dd if={device} of=/dev/null bs={6 * BLOCKED:.0f}k count=2"
                    " iflag=direct")
        with pytest.raises(Wrong, match=r"blocked: \d+ dd "):
            read.run()
    finish(machine)


def test_an_operation_without_end_is_noticed(machine: Machine, leg: Leg,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endurance.torture.round.LIMIT", 3)
    with pytest.raises(Wrong, match="overdue: somebody.0: sleep"):
        work(machine, leg, "sleep 12").run()
    finish(machine)


def finish(machine: Machine) -> None:
    """Waits for the end of a round that was given up, and drops its stacks from the log."""
    machine.wait_for(lambda: "torture: round 0 is over" in machine.log.window(), "the end", 60)
    machine.sync_log()
    machine.log.close_window()


def test_a_wrong_result_is_noticed(machine: Machine, pf: PhysicalFunction, leg: Leg) -> None:
    with pytest.raises(Wrong, match="somebody.0: enable ends with ERANGE"):
        work(machine, leg, f"enable {pf.address} 99").run()


@pytest.mark.parametrize("traits", (frozenset(), frozenset(Trait)), ids=("alone", "disturbed"))
def test_wrong_data_is_noticed(machine: Machine, pf: PhysicalFunction, leg: Leg,
                               traits: frozenset[Trait]) -> None:
    """Wrong data fails the round, whatever the other actors do."""
    device = disk(machine, pf.live(), 1)
    writer = machine.spawn(
        f"rm -f {FOLDER}/over; while [ ! -e {FOLDER}/over ]; do"
        f" dd if=/dev/zero of={device} bs=256k count=1 oflag=direct 2> /dev/null; done")
    with pytest.raises(Wrong, match="verify|Invalid or incomplete"):
        work(machine, leg, *["use_disks"] * 5, traits=traits).run()
    machine.finish(writer)


def test_complaints_are_noticed(machine: Machine, leg: Leg) -> None:
    with pytest.raises(Wrong, match="there-is-no-such-operation"):
        work(machine, leg, "there-is-no-such-operation").run()
