# SPDX-License-Identifier: GPL-2.0
"""What a machine is made of."""

from dataclasses import dataclass

ZONE_MIB = 4
ZONES_OPEN, ZONES_ACTIVE = 3, 5
"""How many zones of a namespace can be open, and active, at a time."""
FIRST_PRIVATE_NSID = 2
"""The first of the namespaces that are attached to no controller at boot."""


@dataclass(frozen=True)
class Format:
    """What a namespace's logical blocks are made of."""

    block: int = 512
    """Bytes of data in a block."""
    metadata: int = 0
    """Bytes of metadata that each block has."""
    extended: bool = False
    """Whether the metadata follows the block's data, in the same buffer."""
    protection: int = 0
    """The type of protection information in the metadata; 0 for none."""
    first: bool = False
    """Whether that is in the first bytes of the metadata, not in the last."""
    zoned: bool = False
    """Whether it has zones of ZONE_MIB, the last quarter of which is not there."""


@dataclass(frozen=True)
class Shape:
    """What a machine is made of.

    Each controller is a physical function. Namespace 1 is attached to every controller of
    its subsystem; those from FIRST_PRIVATE_NSID on wait to be attached.
    """

    cpus: int = 4
    nodes: int = 1
    """NUMA nodes, which the CPUs are divided among. With several, all controllers are
    next to the last."""
    controllers: int = 1
    one_subsystem: bool = False
    """Whether all controllers are of one subsystem, that of the first. The ids of
    the second one's secondary controllers come after the first one's."""
    vfs: int = 8
    """TotalVFs of each controller; 0 for controllers without SR-IOV."""
    vq_flexible: int = 24
    """Queue resources of the flexible pool; one queue pair each."""
    vi_flexible: int = 24
    """Interrupt resources of the flexible pool."""
    vf_limit: int = 6
    """The most queue, and interrupt, resources that one VF can hold."""
    io_queues: int = 32
    """I/O queue pairs of a controller, the flexible ones included."""
    intel_id: bool = False
    """Whether the controllers have QEMU's former ids, 8086:5845."""
    namespaces: int = 8
    """How many namespaces wait to be attached."""
    namespace_mib: int = 64
    shared: bool = True
    """Whether several controllers can have one of those namespaces."""
    same_ids: bool = False
    """Whether namespaces of different subsystems have the same EUI64."""
    formats: tuple[Format, ...] = ()
    """A namespace of each of these formats is attached to every controller, behind
    the other namespaces."""
    shadow_doorbells: bool = True
    """Whether controllers know doorbells in memory (Doorbell Buffer Config)."""
    cmb_mib: int = 0
    """The memory buffer of each controller, which must have no SR-IOV then; 0 for none."""
    legacy_cmb: bool = False
    """Whether the buffer is as before revision 1.4, without CMBMSC."""
    switch: bool = False
    """Whether all controllers are behind one switch."""
    watched_locks: bool = True
    """Whether lockdep watches device locks, on the debug kernel. The PCI core's error
    recovery takes them with pci_bus_sem held, and its bus reset takes that with them."""
    plain_ports: bool = False
    """Whether root ports are of the first generation, and not for hot-plug. The link
    below such a port comes back after a reset of its bus; below others it does not."""
    iommu: bool = False
    """Whether an Intel IOMMU translates what devices access."""
    null: bool = False
    """Whether namespaces keep nothing, and read as zeroes, which costs no time."""
    counted: bool = False
    """Whether QEMU counts the instructions of the guest, each of which takes one
    nanosecond of its time."""

    @property
    def first_formatted_nsid(self) -> int:
        """The first of the namespaces that ``formats`` are of."""
        return FIRST_PRIVATE_NSID + self.namespaces
