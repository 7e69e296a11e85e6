# SPDX-License-Identifier: GPL-2.0
"""The kinds of actors that work on the driver, and the operations of each.

An actor is a list of calls of guest.sh's operations, which a shell in the guest repeats
for as long as the round lasts. The actors of the host are in host.py.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from guest.shape import FIRST_PRIVATE_NSID, Shape

STEPS = 40
"""The number of operations in an actor's list, which is repeated."""


class Trait(Enum):
    """An effect of an actor that excludes other actors or changes what may fail."""

    WRITES_NUMVFS = auto()
    """Writes sriov_numvfs."""
    TAKES_OFF_BUS = auto()
    """Makes the PCI core remove or add a PF."""
    CHANGES_BUS = auto()
    """Makes the PCI core remove or add functions."""
    RECOVERS = auto()
    """Makes the PCI core recover a function from an error."""
    LOSES_VF = auto()
    """Removes a VF by itself, which confuses the PCI core until its PF is removed, too."""
    SLEEPS = auto()
    """Suspends all devices, for which the guest agent's port is unbound."""
    ASKS = auto()
    """Uses the guest agent while the round lasts."""
    ENDS_PF = auto()
    """Ends the controller of a PF, so that its I/O fails."""
    ENDS_VF = auto()
    """Ends the controller of a VF, or detaches its namespaces, so that its I/O fails."""
    UNBINDS = auto()
    """Leaves functions without a driver, or with another one."""
    LOSES_COMMANDS = auto()
    """Makes commands time out, so that some fail."""


@dataclass(frozen=True)
class Place:
    """The place of an actor: a physical function, and the shape of its machine."""

    shape: Shape
    pf: str
    """The PCI address of the function."""
    port: str
    """The PCI address of the port above the function."""


Step = tuple[float, str]
"""A pause in seconds, and the operation after it, with its arguments."""
Steps = Callable[[random.Random, Place], list[Step]]


@dataclass(frozen=True)
class Kind:
    """A kind of actor."""

    name: str
    traits: frozenset[Trait]
    steps: Steps | None
    """Makes the list of operations in the guest. None for an actor of the host."""
    needs: Callable[[Shape], bool] = lambda shape: True
    """Returns whether the actor can work in a machine of a shape."""
    for_each_pf: bool = True
    """Whether each physical function has an actor of this kind, or all share one."""


def _vf(rng: random.Random, place: Place) -> int:
    """Returns the number of a VF that is often enabled."""
    return min(rng.randrange(place.shape.vfs), rng.randrange(place.shape.vfs))


def _function(rng: random.Random, place: Place) -> str:
    """Returns the PF's address with a VF's number, or with - for the PF itself."""
    return f"{place.pf} -" if rng.randrange(3) == 0 else f"{place.pf} {_vf(rng, place)}"


def _vfs(rng: random.Random, place: Place) -> list[Step]:
    steps = []
    for _ in range(STEPS // 2):
        steps += [(rng.uniform(0, 0.2), f"enable {place.pf} {rng.randint(1, place.shape.vfs)}"),
                  (rng.uniform(0, 1.5), f"enable {place.pf} 0")]
    return steps


def _namespaces(rng: random.Random, place: Place) -> str:
    if rng.randrange(3) == 0:
        return "''"
    last = FIRST_PRIVATE_NSID + place.shape.namespaces
    return "'{}'".format(" ".join(
        str(nsid) for nsid in sorted(rng.sample(range(1, last), rng.randint(1, 3)))))


def _settings(rng: random.Random, place: Place) -> list[Step]:
    values: dict[str, Callable[[], str]] = {
        "queues": lambda: str(rng.choice((0, 0, 2, 3, place.shape.vf_limit))),
        "interrupts": lambda: str(rng.choice((0, 0, 1, 2, place.shape.vf_limit))),
        "namespaces": lambda: _namespaces(rng, place),
    }
    steps = []
    for _ in range(STEPS):
        name = rng.choice(("queues", "interrupts", "namespaces", "namespaces"))
        steps.append((rng.uniform(0, 0.5),
                      f"setting {place.pf} {_vf(rng, place)} {name} {values[name]()}"))
    return steps


def _reads(rng: random.Random, place: Place) -> list[Step]:
    questions = ("list-secondary", "primary-ctrl-caps", "id-ctrl",
                 f"list-ctrl -n {rng.randint(1, place.shape.namespaces)}")
    return [(rng.uniform(0, 0.3), rng.choice(
                (f"read_all {place.pf}", f"ask {place.pf} {rng.choice(questions)}")))
            for _ in range(STEPS)]


def _controller_resets(rng: random.Random, place: Place) -> list[Step]:
    return [(rng.uniform(0, 1.0), f"reset_controller {_function(rng, place)}")
            for _ in range(STEPS)]


def _function_resets(rng: random.Random, place: Place) -> list[Step]:
    return [(rng.uniform(0, 1.0), f"reset_function {_function(rng, place)}")
            for _ in range(STEPS)]


def _bus_resets(rng: random.Random, place: Place) -> list[Step]:
    return [(rng.uniform(0.5, 3.0), f"reset_bus {place.port}") for _ in range(STEPS)]


def _pf_binding(rng: random.Random, place: Place) -> list[Step]:
    steps = []
    for _ in range(STEPS // 2):
        steps += [(rng.uniform(0, 2.0), f"unbind {place.pf} -"),
                  (rng.uniform(0, 0.5), f"bind {place.pf} -")]
    return steps


def _vf_binding(rng: random.Random, place: Place) -> list[Step]:
    steps = []
    for _ in range(STEPS // 2):
        vf = _vf(rng, place)
        steps += [(rng.uniform(0, 0.5), f"unbind {place.pf} {vf}"),
                  (rng.uniform(0, 0.3), f"bind {place.pf} {vf}")]
    return steps


def _pf_removal(rng: random.Random, place: Place) -> list[Step]:
    steps = []
    for _ in range(STEPS // 2):
        steps += [(rng.uniform(0.2, 2.0), f"remove {place.pf} -"),
                  (rng.uniform(0, 1.0), "rescan")]
    return steps


def _vf_removal(rng: random.Random, place: Place) -> list[Step]:
    vfs = list(range(place.shape.vfs))
    rng.shuffle(vfs)
    return [(rng.uniform(0.5, 2.0), f"remove {place.pf} {vf}") for vf in vfs]


def _reload(rng: random.Random, place: Place) -> list[Step]:
    steps = []
    for _ in range(STEPS // 2):
        vfs = rng.choice((0, 0, 1, 3, place.shape.vfs))
        steps += [(rng.uniform(0.5, 3.0), "unload"),
                  (rng.uniform(0, 0.5), f"load sriov_vfs={vfs}" if vfs else "load")]
    return steps


def _sleep(rng: random.Random, _: Place) -> list[Step]:
    return [(rng.uniform(0.5, 3.0), "sleep_devices") for _ in range(STEPS)]


def _cpus(rng: random.Random, place: Place) -> list[Step]:
    # The first CPU cannot go offline.
    return [(rng.uniform(0, 0.7), f"cpu {rng.randrange(1, place.shape.cpus)} {rng.randrange(2)}")
            for _ in range(STEPS)]


def _timeouts(rng: random.Random, _: Place) -> list[Step]:
    # A used-up rule makes room for another one.
    return [(rng.uniform(0.5, 3.0), "fault 'lose queue={} skip={}'".format(
                rng.choice(("io", "io", "admin")), rng.randrange(20)))
            for _ in range(4)]


def _vfio(rng: random.Random, place: Place) -> list[Step]:
    steps = []
    for _ in range(STEPS // 2):
        vf = _vf(rng, place)
        steps += [(rng.uniform(0, 0.5), f"take_vf {place.pf} {vf}"),
                  (rng.uniform(0, 1.0), f"give_vf {place.pf} {vf}")]
    return steps


def _fio(rng: random.Random, _: Place) -> list[Step]:
    return [(rng.uniform(0, 0.1), "use_disks") for _ in range(STEPS)]


def _kind(name: str, steps: Steps | None, *traits: Trait, **options: object) -> Kind:
    return Kind(name, frozenset(traits), steps, **options)      # type: ignore


KINDS = (
    _kind("vfs", _vfs, Trait.WRITES_NUMVFS, Trait.CHANGES_BUS, Trait.ENDS_VF),
    _kind("settings", _settings, Trait.ENDS_VF),
    _kind("reads", _reads),
    _kind("controller_resets", _controller_resets),
    _kind("function_resets", _function_resets),
    _kind("bus_resets", _bus_resets, needs=lambda shape: shape.plain_ports),
    _kind("pf_binding", _pf_binding, Trait.CHANGES_BUS, Trait.ENDS_PF, Trait.ENDS_VF,
          Trait.UNBINDS),
    _kind("vf_binding", _vf_binding, Trait.ENDS_VF, Trait.UNBINDS),
    _kind("pf_removal", _pf_removal, Trait.TAKES_OFF_BUS, Trait.CHANGES_BUS, Trait.ENDS_PF,
          Trait.ENDS_VF),
    _kind("vf_removal", _vf_removal, Trait.LOSES_VF, Trait.CHANGES_BUS, Trait.ENDS_VF),
    _kind("hotplug", None, Trait.TAKES_OFF_BUS, Trait.CHANGES_BUS, Trait.ENDS_PF,
          Trait.ENDS_VF, Trait.ASKS, needs=lambda shape: not shape.plain_ports),
    _kind("reload", _reload, Trait.CHANGES_BUS, Trait.ENDS_PF, Trait.ENDS_VF,
          Trait.UNBINDS, for_each_pf=False),
    _kind("sleep", _sleep, Trait.SLEEPS, for_each_pf=False),
    _kind("cpus", _cpus, for_each_pf=False),
    _kind("errors", None, Trait.RECOVERS),
    _kind("fatal_errors", None, Trait.RECOVERS, needs=lambda shape: shape.plain_ports),
    _kind("timeouts", _timeouts, Trait.LOSES_COMMANDS, Trait.ENDS_PF, Trait.ENDS_VF,
          for_each_pf=False),
    _kind("vfio", _vfio, Trait.ENDS_VF, Trait.UNBINDS, needs=lambda shape: shape.iommu),
    _kind("fio", _fio, for_each_pf=False),
)
"""All kinds of actors."""


@dataclass(frozen=True)
class Actor:
    """An actor of a round: a kind at a place."""

    kind: Kind
    place: Place
    index: int
    """The number of the physical function."""

    @property
    def name(self) -> str:
        return f"{self.kind.name}.{self.index}" if self.kind.for_each_pf else self.kind.name

    def script(self, rng: random.Random) -> str:
        """Returns the script of the actor for the guest's shell."""
        assert self.kind.steps
        lines = [f"pause {pause:.2f}; over && exit; step {operation.split()[0]} {operation}"
                 for pause, operation in self.kind.steps(rng, self.place)]
        # A list that is shorter than STEPS runs once, a longer one is repeated.
        again = len(lines) >= STEPS
        return "\n".join([f"ACTOR={self.name}", ". ./guest.sh",
                          "while :; do" if again else "", *lines, "done" if again else "", ""])


def actors(places: list[Place], names: set[str], faults: bool) -> list[Actor]:
    """Returns all actors of these kinds that can work in the places; those that lose
    commands only if the driver can simulate ``faults``."""
    return [Actor(kind, place, index)
            for kind in KINDS if kind.name in names and kind.needs(places[0].shape)
            and (faults or Trait.LOSES_COMMANDS not in kind.traits)
            for index, place in enumerate(places) if kind.for_each_pf or index == 0]
