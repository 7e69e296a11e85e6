# SPDX-License-Identifier: GPL-2.0
"""Which actors must not work at once, and why: what the kernel itself cannot do, with any
driver, and what this test cannot."""

from dataclasses import dataclass

from endurance.torture.actors import Actor, Trait


@dataclass(frozen=True)
class Exclusion:
    """Two traits that must not meet."""

    one: Trait
    other: Trait
    same_pf: bool
    """Whether they may, if the physical functions are not the same."""
    why: str


EXCLUSIONS = (
    Exclusion(Trait.WRITES_NUMVFS, Trait.TAKES_OFF_BUS, True,
              "sriov_numvfs_store() takes the device lock, then pci_rescan_remove_lock;"
              " who removes or adds the function takes them the other way round"),
    Exclusion(Trait.RECOVERS, Trait.CHANGES_BUS, False,
              "pci_walk_bus() holds pci_bus_sem while error handlers wait for device locks;"
              " who adds or removes functions has such a lock and waits for pci_bus_sem"),
    Exclusion(Trait.RECOVERS, Trait.UNBINDS, True,
              "the PCI core gives up all functions behind a port if one of them has no driver"),
    Exclusion(Trait.LOSES_VF, Trait.WRITES_NUMVFS, True,
              "the PCI core keeps the link virtfnN of a VF that was removed by itself, and"
              " warns when it is to make it again"),
    Exclusion(Trait.LOSES_VF, Trait.UNBINDS, True,
              "sriov_vfs makes VFs anew, as above; and so does whoever enables them after"
              " the binding of a PF"),
    Exclusion(Trait.LOSES_VF, Trait.TAKES_OFF_BUS, True,
              "the VF's number may be another function's when it is removed"),
    Exclusion(Trait.TAKES_OFF_BUS, Trait.TAKES_OFF_BUS, True,
              "remove_store() has no reference to the function while it waits for"
              " pci_rescan_remove_lock; whoever has the lock may free it"),
    Exclusion(Trait.RECOVERS, Trait.SLEEPS, False,
              "a port that sleeps does not report what QEMU has it report"),
    Exclusion(Trait.SLEEPS, Trait.ASKS, False,
              "the guest agent's port does not survive it"),
)


def excluded(one: Actor, other: Actor) -> Exclusion | None:
    """Returns why two actors must not work at once, if they must not."""
    same = (one.index == other.index
            or not (one.kind.for_each_pf and other.kind.for_each_pf))
    for exclusion in EXCLUSIONS:
        for first, second in ((one, other), (other, one)):
            if (exclusion.one in first.kind.traits and exclusion.other in second.kind.traits
                    and (same or not exclusion.same_pf)):
                return exclusion
    return None
