# SPDX-License-Identifier: GPL-2.0
"""What became of rounds with a controller that lies, and a table of all."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """A step of a round."""

    name: str
    seconds: float
    result: str
    """An exit status."""


@dataclass(frozen=True)
class Round:
    """A round: its steps, and the states of the controller when it was bound and at last."""

    steps: list[Step]
    states: list[str]
    met: int = 0
    """How many commands and reads of registers were answered wrongly."""

    def of(self, name: str) -> Step:
        """Returns a step; one that was not done has an empty result."""
        return next((step for step in self.steps if step.name == name), Step(name, 0.0, ""))

    @property
    def end(self) -> str:
        """Returns what became of the controller."""
        if not self.states:
            return "refused"
        if self.states[-1] != "live":
            return "given up"
        return "read" if self.of("again").result == "0" else "failed I/O"


NOT_WELL = "not well"
"""What became of the guest, by a round that was not well."""
ENDS = ("refused", "given up", "failed I/O", "read", NOT_WELL)
"""What can come of a round: what Round.end says became of the controller, or NOT_WELL."""


def parse(text: str) -> tuple[list[Step], dict[str, Round]]:
    """Returns what the script in the guest has printed: the reads of the other disk, and the
    round of each address."""
    beside: list[Step] = []
    rounds: dict[str, Round] = defaultdict(lambda: Round([], []))
    for line in text.splitlines():
        address, name, began, ended, result = line.split(maxsplit=4)
        step = Step(name, float(ended) - float(began), result)
        if address == "beside":
            beside.append(step)
        elif name == "state":
            rounds[address].states.append(result)
        else:
            rounds[address].steps.append(step)
    return beside, rounds


@dataclass
class Table:
    """What became of all rounds, by the rules that they had."""

    ends: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    rounds: int = 0

    def add(self, rules: list[str], done: Round) -> None:
        """Counts a round."""
        self.rounds += 1
        for rule in set(rules):
            self.ends[rule][done.end] += 1
            longest = max(step.seconds for step in done.steps)
            self.slowest[rule] = max(self.slowest[rule], longest)

    def add_failure(self, rules: list[str]) -> None:
        """Counts a round that was not well."""
        self.rounds += 1
        for rule in set(rules):
            self.ends[rule][NOT_WELL] += 1

    def __str__(self) -> str:
        lines = [f"{'rule':<18}  {'rounds':>6}" + "".join(f"  {end:>10}" for end in ENDS)
                 + f"  {'slowest':>9}"]
        for rule in sorted(self.ends):
            ends = self.ends[rule]
            lines.append(f"{rule:<18}  {ends.total():>6}"
                         + "".join(f"  {ends[end]:>10}" for end in ENDS)
                         + f"  {self.slowest[rule]:>7.1f} s")
        return "\n".join(lines)
