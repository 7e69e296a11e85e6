# SPDX-License-Identifier: GPL-2.0
"""A round: some actors work at once, until its time is over."""

import os
import random
import time
from pathlib import Path

from endurance.torture.actors import Actor, Trait
from endurance.torture.exclusions import excluded
from endurance.torture.host import events
from endurance.torture.results import Job, Operation, Wrong, parse
from guest.image import MODULE_IN_GUEST
from guest.kernel import PATIENCE
from guest.machine import Machine

SOURCES = Path(__file__).parent
FOLDER = "/run/torture"
"""Where the guest has it all."""
BLOCKED = 10 * PATIENCE
"""Seconds after which a task that is blocked is stuck."""
LIMIT = 60 * PATIENCE
"""Seconds that an operation may take."""
_ALL_TOLD = 5
"""Seconds until the watcher has told of all who wait."""
_EILSEQ = 84
"""With which fio ends if data is wrong."""

# The actors end by themselves when the time is over, and the watcher when the last has.
# The agent may have to start anew meanwhile: the end is told by the kernel log.
_ROUND = """
cd {folder} || exit
rm -f over overdue.* log.* now.* fio.* out.*
read -r up _ < /proc/uptime
export END=$((${{up%.*}} + {seconds:.0f})) MODULE={module}
sh watch.sh {blocked:.0f} {limit:.0f} &
watcher=$!
actors=
for actor in {names}; do
	sh actor.$actor > out.$actor 2>&1 &
	actors="$actors $!"
done
[ ! "$actors" ] || wait $actors
: > over
wait $watcher
echo '{mark}' > /dev/kmsg
"""


def choose(rng: random.Random, everybody: list[Actor], most: int) -> list[Actor]:
    """Returns some actors that may work at once, two at least if there are."""
    wanted = rng.randint(2, most)
    chosen: list[Actor] = []
    for actor in rng.sample(everybody, len(everybody)):
        if len(chosen) < wanted and not any(excluded(actor, other) for other in chosen):
            chosen.append(actor)
    return chosen


def provide(machine: Machine) -> None:
    """Gives the guest what all rounds need."""
    machine.run(f"mkdir -p {FOLDER}")
    for name in "guest", "watch":
        source = SOURCES / f"{name}.sh"
        machine.put(f"{FOLDER}/{name}.sh", source.read_bytes())


class Round:
    """Some actors at work."""

    def __init__(self, machine: Machine, number: int, chosen: list[Actor],
                 rng: random.Random, seconds: float) -> None:
        self._machine = machine
        self._actors = chosen
        self._seconds = seconds
        self._mark = f"torture: round {number} is over"
        self._scripts = {actor.name: actor.script(rng)
                         for actor in chosen if actor.kind.steps}
        self._events = sorted(
            (event for actor in chosen if not actor.kind.steps
             for event in events(actor, rng, seconds)), key=lambda event: event.at)
        self.operations: list[Operation] = []
        """What was done, once it is over."""

    @property
    def traits(self) -> set[Trait]:
        """Those of all actors."""
        return {trait for actor in self._actors for trait in actor.kind.traits}

    def run(self) -> None:
        """Has them work, and judges what came of it."""
        for name, script in self._scripts.items():
            self._machine.put(f"{FOLDER}/actor.{name}", script.encode())
        self._machine.put(f"{FOLDER}/round.sh", _ROUND.format(
            folder=FOLDER, seconds=self._seconds, module=MODULE_IN_GUEST,
            blocked=BLOCKED, limit=LIMIT, names=" ".join(self._scripts),
            mark=self._mark).encode())
        self._machine.spawn(f"sh {FOLDER}/round.sh")
        self._host(time.monotonic())
        self._machine.wait_for(self._over, self._mark, self._seconds + 2 * LIMIT)
        # The agent may be a new one.
        self._machine.wait_for_boot()
        self._collect()

    def _host(self, begin: float) -> None:
        """Does what the host has to do, each at its time."""
        for event in self._events:
            self._sleep_until(begin + event.at)
            if time.monotonic() > begin + self._seconds and event.name != "plug":
                break
            self.operations.append(event.run(self._machine))

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self._over()

    def _over(self) -> bool:
        """Whether the actors have ended. Raises if one of them does not come back."""
        said = self._machine.log.window()
        if "torture: overdue: " in said or "torture: blocked: " in said:
            # The others that wait are told of, too, and what the kernel says of them.
            time.sleep(_ALL_TOLD)
            raise Wrong("some do not get on:\n" + self._told("overdue") + self._told("blocked"))
        return self._mark in said

    def _told(self, what: str) -> str:
        """Returns what the watcher told of one kind, stacks included."""
        found, inside = [], False
        for line in self._machine.log.window().splitlines():
            _, tells, words = line.partition("torture: ")
            if tells:
                inside = words.startswith(f"{what}: ") or (inside and words.startswith(" "))
                if inside:
                    found.append(words + "\n")
        return "".join(found)

    def _collect(self) -> None:
        logs = self._machine.run(f"cd {FOLDER}; grep . log.* /dev/null", check=False).out
        operations, jobs = parse(logs)
        self.operations += operations
        complaints = self._machine.run(
            f"cd {FOLDER}; grep -s . out.*; grep -si verify fio.err.*", check=False).out
        if complaints:
            raise Wrong(f"actors complain:\n{complaints}")
        losing = Trait.LOSES_COMMANDS in self.traits
        for operation in self.operations:
            if not operation.permitted(losing):
                raise Wrong(f"{operation.actor}: {operation.name} ends with"
                            f" {operation.result}")
        for job in jobs:
            if job.error and not self._may_fail(job):
                raise Wrong(f"fio on {job.disk}, namespace {job.nsid}, ends with"
                            f" {os.strerror(job.error)}")

    def _may_fail(self, job: Job) -> bool:
        """Whether the disk may have lost all of its controllers."""
        if job.error == _EILSEQ:
            return False
        if job.nsid != 1:
            return bool({Trait.ENDS_PF, Trait.ENDS_VF} & self.traits)
        # Each PF has it.
        ended = [actor for actor in self._actors if Trait.ENDS_PF in actor.kind.traits]
        return (any(not actor.kind.for_each_pf for actor in ended)
                or len({actor.index for actor in ended})
                == self._machine.shape.controllers)

