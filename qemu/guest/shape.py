# SPDX-License-Identifier: GPL-2.0
"""The description of a machine's hardware."""

from dataclasses import dataclass

ZONE_MIB = 4
ZONES_OPEN, ZONES_ACTIVE = 3, 5
"""How many zones of a namespace can be open, and active, at a time."""
FIRST_PRIVATE_NSID = 2
"""The first of the namespaces that are attached to no controller at boot."""


@dataclass(frozen=True)
class Format:
    """The format of a namespace's logical blocks."""

    block: int = 512
    """Bytes of data in a block."""
    metadata: int = 0
    """Bytes of metadata that each block has."""
    extended: bool = False
    """Whether the metadata follows the block's data, in the same buffer."""
    protection: int = 0
    """The type of protection information in the metadata; 0 for none."""
    first: bool = False
    """Whether the protection information is in the first bytes of the metadata, not in the
    last ones."""
    zoned: bool = False
    """Whether the namespace has zones of ZONE_MIB, whose last quarter is beyond the zone
    capacity."""


@dataclass(frozen=True)
class Shape:
    """The hardware of a machine.

    Each controller is a physical function. Namespace 1 is attached to every controller of
    its subsystem; those from FIRST_PRIVATE_NSID on are attached to none.
    """

    cpus: int = 4
    nodes: int = 1
    """The number of NUMA nodes, among which the CPUs are divided. If there are several, all
    controllers belong to the last one."""
    controllers: int = 1
    one_subsystem: bool = False
    """Whether all controllers are in the subsystem of the first controller. The ids of the
    second controller's secondaries follow those of the first controller's secondaries."""
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
    """The number of namespaces that are attached to no controller at boot."""
    namespace_mib: int = 64
    shared: bool = True
    """Whether such a namespace can be attached to several controllers at once."""
    same_ids: bool = False
    """Whether namespaces of different subsystems have the same EUI64."""
    formats: tuple[Format, ...] = ()
    """A namespace of each of these formats is attached to every controller, behind
    the other namespaces."""
    shadow_doorbells: bool = True
    """Whether controllers support shadow doorbells (Doorbell Buffer Config)."""
    cmb_mib: int = 0
    """The size of each controller's memory buffer; 0 for none. It excludes SR-IOV."""
    legacy_cmb: bool = False
    """Whether the buffer is one of before revision 1.4, without CMBMSC."""
    switch: bool = False
    """Whether all controllers are behind one switch."""
    watched_locks: bool = True
    """Whether lockdep watches device locks, on the debug kernel. The PCI core's error
    recovery takes device locks with pci_bus_sem held, and its bus reset takes pci_bus_sem
    with device locks held."""
    plain_ports: bool = False
    """Whether root ports are of the first generation, and without hot-plug. The link
    below such a port comes back after a reset of its bus; below other ports it does not."""
    iommu: bool = False
    """Whether an Intel IOMMU translates the devices' DMA."""
    bounced: bool = False
    """Whether all data goes through bounce buffers."""
    null: bool = False
    """Whether namespaces discard writes and read as zeroes, so that the disk costs no time."""
    devices: tuple[str, ...] = ()
    """The settings of controllers outside of QEMU, behind the others on the bus
    (``guest.device.settings()``). They exclude several nodes."""
    debian: bool = False
    """Whether the guest is Debian on a disk of its own, with systemd and udev, and not a busybox
    in memory."""
    python: bool = False
    """Whether the guest has Python, for nvme-sriov."""
    counted: bool = False
    """Whether QEMU counts the guest's instructions, and how often each of the kernel's is
    executed. Each takes one nanosecond of guest time."""

    @property
    def first_formatted_nsid(self) -> int:
        """Returns the id of the first namespace that has one of ``formats``."""
        return FIRST_PRIVATE_NSID + self.namespaces
