# SPDX-License-Identifier: GPL-2.0
"""The pool of flexible resources, from which VFs get their shares."""

from subject.functions import PhysicalFunction

OFFLINE, ONLINE = 0, 1


def check_online(pf: PhysicalFunction, count: int) -> None:
    """Checks that the secondaries of the first ``count`` VFs, and no others, are
    online with an equal share of the pool, give or take one."""
    secondaries = pf.secondaries()
    states = {s["virtual-function-number"]: s["secondary-controller-state"]
              for s in secondaries}
    assert states == {n + 1: ONLINE if n < count else OFFLINE
                      for n in range(pf.machine.shape.vfs)}
    online = [s for s in secondaries if s["secondary-controller-state"] == ONLINE]
    caps = pf.capabilities()
    free = caps["vqfrt"] - caps["vqrfap"]
    queues = [s["num-virtual-queues"] for s in online]
    assert sum(queues) == min(free, count * caps["vqfrsm"])
    assert max(queues) - min(queues) <= 1
    # An interrupt without a queue is of no use.
    assert [s["num-virtual-interrupts"] for s in online] == queues


def check_vfs_gone(pf: PhysicalFunction) -> None:
    """Checks that no secondary is online or holds resources."""
    assert all(
        (s["secondary-controller-state"], s["num-virtual-queues"],
         s["num-virtual-interrupts"]) == (OFFLINE, 0, 0)
        for s in pf.secondaries())
