# SPDX-License-Identifier: GPL-2.0
"""Controllers that lie, by seed, and another one that does not notice."""

import pytest

from endurance.hostile.results import Step, Table, parse
from endurance.hostile.run import AT_ONCE, SHAPE, Hostile, Wrong
from guest.machine import Machine
from subject.driver import Driver
from subject.functions import physical_functions


@pytest.mark.shape(SHAPE)
def test_seeds(machine: Machine, driver: Driver, limits: None) -> None:
    """The driver comes through some rounds, in which something has gone wrong."""
    hostile = Hostile(machine, driver)
    done = hostile.rounds(list(range(AT_ONCE)))
    table = Table()
    for lie, this in done:
        table.add([rule["name"] for rule in lie.rules], this)
    print(table)
    assert sum(this.met for _, this in done) > AT_ONCE
    assert hostile.rounds([1])[0][0] == done[1][0]


@pytest.mark.shape(SHAPE)
def test_a_disk_that_notices_is_noticed(machine: Machine, driver: Driver, limits: None) -> None:
    """A round is wrong if the other disk cannot be read meanwhile."""
    hostile = Hostile(machine, driver)
    other = physical_functions(machine)[0]
    machine.spawn(f"sleep 1; echo {other.address} > {other.sysfs}/driver/unbind")
    with pytest.raises(Wrong, match="of the other disk failed"):
        hostile.rounds(list(range(AT_ONCE)))
    assert other.bind(driver.name) == 0
    other.live()


def test_results() -> None:
    beside, rounds = parse("""\
beside read 10.00 10.20 0
beside read 10.50 11.50 1
a bind 10.00 10.50 0
a state 0 0 live
a reset 11.00 13.25 1
a state 0 0 deleting (no IO)
a again 14.00 14.10 1
a unbind 15.00 15.00 0
b bind 1 2 1
b unbind 2 2 0
""")
    assert [read.result for read in beside] == ["0", "1"]
    done = rounds["a"]
    assert done.steps[1] == Step("reset", 2.25, "1")
    assert done.states == ["live", "deleting (no IO)"] and done.end == "given up"
    assert done.of("write").result == ""
    assert rounds["b"].end == "refused"
    table = Table()
    table.add(["lose", "fail"], done)
    assert str(table).splitlines()[1].split() == ["fail", "1", "0", "1", "0", "0", "0", "2.2",
                                             "s"]
