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
"""The folder of scripts and logs in the guest."""
BLOCKED = 10 * PATIENCE
"""Seconds after which a blocked task counts as stuck."""
LIMIT = 60 * PATIENCE
"""Seconds that an operation may take."""
_ALL_TOLD = 5
"""Seconds in which the watcher reports all blocked tasks."""
_EILSEQ = 84
"""The errno with which fio ends if data is wrong."""

# Each actor ends by itself when the time is over, and the watcher after the last actor. The
# guest agent may be restarted meanwhile, so the kernel log reports the end.
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
    """Returns some actors that may work at once, if possible at least two."""
    wanted = rng.randint(2, most)
    chosen: list[Actor] = []
    for actor in rng.sample(everybody, len(everybody)):
        if len(chosen) < wanted and not any(excluded(actor, other) for other in chosen):
            chosen.append(actor)
    return chosen


def provide(machine: Machine) -> None:
    """Copies the scripts that all rounds need into the guest."""
    machine.run(f"mkdir -p {FOLDER}")
    for name in "guest", "watch":
        source = SOURCES / f"{name}.sh"
        machine.put(f"{FOLDER}/{name}.sh", source.read_bytes())


class Round:
    """A round of some actors."""

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
        """The operations of the round, once it is over."""

    @property
    def traits(self) -> set[Trait]:
        """Returns the traits of all actors of the round."""
        return {trait for actor in self._actors for trait in actor.kind.traits}

    def run(self) -> None:
        """Runs the actors, and judges their results."""
        for name, script in self._scripts.items():
            self._machine.put(f"{FOLDER}/actor.{name}", script.encode())
        self._machine.put(f"{FOLDER}/round.sh", _ROUND.format(
            folder=FOLDER, seconds=self._seconds, module=MODULE_IN_GUEST,
            blocked=BLOCKED, limit=LIMIT, names=" ".join(self._scripts),
            mark=self._mark).encode())
        self._machine.spawn(f"sh {FOLDER}/round.sh")
        self._host(time.monotonic())
        self._machine.wait_for(self._over, self._mark, self._seconds + 2 * LIMIT)
        # The guest agent may have been restarted.
        self._machine.wait_for_boot()
        self._collect()

    def _host(self, begin: float) -> None:
        """Runs the host's operations, each at its time."""
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
        """Returns whether the actors have ended. Raises if one of them hangs."""
        said = self._machine.log.window()
        if "torture: overdue: " in said or "torture: blocked: " in said:
            # The watcher then reports the other blocked tasks, and the kernel their stacks.
            time.sleep(_ALL_TOLD)
            raise Wrong("some do not get on:\n" + self._told("overdue") + self._told("blocked"))
        return self._mark in said

    def _told(self, what: str) -> str:
        """Returns the watcher's reports of one kind, with stacks."""
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
        """Returns whether the disk may have lost all of its controllers."""
        if job.error == _EILSEQ:
            return False
        if job.nsid != 1:
            return bool({Trait.ENDS_PF, Trait.ENDS_VF} & self.traits)
        # Namespace 1 is attached to each PF.
        ended = [actor for actor in self._actors if Trait.ENDS_PF in actor.kind.traits]
        return (any(not actor.kind.for_each_pf for actor in ended)
                or len({actor.index for actor in ended})
                == self._machine.shape.controllers)

