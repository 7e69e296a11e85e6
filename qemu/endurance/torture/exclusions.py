# SPDX-License-Identifier: GPL-2.0
"""The pairs of actors that must not work at once, because the kernel fails with any driver,
or because this test cannot do it."""

from dataclasses import dataclass

from endurance.torture.actors import Actor, Trait


@dataclass(frozen=True)
class Exclusion:
    """Two traits that exclude each other."""

    one: Trait
    other: Trait
    same_pf: bool
    """Whether the exclusion holds only for actors on the same physical function."""
    why: str


EXCLUSIONS = (
    Exclusion(Trait.WRITES_NUMVFS, Trait.TAKES_OFF_BUS, True,
              "sriov_numvfs_store() takes the device lock, then pci_rescan_remove_lock;"
              " a removal or a scan takes them in the other order"),
    Exclusion(Trait.RECOVERS, Trait.CHANGES_BUS, False,
              "pci_walk_bus() holds pci_bus_sem while error handlers wait for device locks;"
              " a task that adds or removes functions holds such a lock and waits for pci_bus_sem"),
    Exclusion(Trait.RECOVERS, Trait.UNBINDS, True,
              "the PCI core gives up all functions behind a port if one of them has no driver"),
    Exclusion(Trait.LOSES_VF, Trait.WRITES_NUMVFS, True,
              "the PCI core keeps the link virtfnN of a VF that was removed alone, and warns"
              " when it creates the link again"),
    Exclusion(Trait.LOSES_VF, Trait.UNBINDS, True,
              "sriov_vfs enables VFs anew, as above; so does an actor that enables them after"
              " the binding of a PF"),
    Exclusion(Trait.LOSES_VF, Trait.TAKES_OFF_BUS, True,
              "the VF's address may belong to another function when the VF is removed"),
    Exclusion(Trait.TAKES_OFF_BUS, Trait.TAKES_OFF_BUS, True,
              "remove_store() has no reference to the function while it waits for"
              " pci_rescan_remove_lock; the holder of the lock may free the function"),
    Exclusion(Trait.RECOVERS, Trait.SLEEPS, False,
              "a suspended port does not report the errors that QEMU injects"),
    Exclusion(Trait.SLEEPS, Trait.ASKS, False,
              "the guest agent's port does not survive a suspend"),
)


def excluded(one: Actor, other: Actor) -> Exclusion | None:
    """Returns the exclusion of two actors, if there is one."""
    same = (one.index == other.index
            or not (one.kind.for_each_pf and other.kind.for_each_pf))
    for exclusion in EXCLUSIONS:
        for first, second in ((one, other), (other, one)):
            if (exclusion.one in first.kind.traits and exclusion.other in second.kind.traits
                    and (same or not exclusion.same_pf)):
                return exclusion
    return None
