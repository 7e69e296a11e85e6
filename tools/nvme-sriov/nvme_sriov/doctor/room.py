# SPDX-License-Identifier: GPL-2.0
"""Whether there are bus numbers and memory windows for all VFs."""

from collections.abc import Iterator

from nvme_sriov.config_space import SRIOV, ConfigSpace
from nvme_sriov.doctor.finding import Finding, error, ok, unknown, warning
from nvme_sriov.physical import PhysicalFunction

_FIRST_OFFSET, _STRIDE = 0x14, 0x16
_FIRST_VF_BAR = 7
"""Where the resources of VFs begin in sysfs: behind six BARs and the ROM."""


def buses(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks at the bus of the last VF. Offset and stride are for as many VFs as are enabled."""
    config = ConfigSpace(pf.sysfs, pf.address)
    sriov = config.extended(SRIOV)
    if sriov is None:
        yield unknown(pf, "its SR-IOV capability cannot be read", "run this as root")
        return
    bridge = pf.sysfs.real(pf.folder).rpartition("/")[0].rpartition("/")[2]
    last = ConfigSpace(pf.sysfs, bridge).last_bus
    _, bus, function = pf.address.split(":")
    device, number = function.split(".")
    own = int(bus, 16) << 8 | int(device, 16) << 3 | int(number)
    offset, stride = config.word(sriov + _FIRST_OFFSET), config.word(sriov + _STRIDE)
    if last is None:
        # On a root bus, more buses are the host bridge's.
        last = 0xff
    fit = [n for n in range(pf.total) if own + offset + n * stride >> 8 <= last]
    needed = own + offset + (pf.total - 1) * stride >> 8
    if len(fit) == pf.total:
        yield ok(pf, f"the last VF is on bus {needed:02x}, buses up to {last:02x} are there")
        return
    make = error if not fit else warning
    yield make(pf, f"the last VF needs bus {needed:02x}, and the bridge above has buses up to"
               f" {last:02x}: there is room for {len(fit)} VFs",
               "boot with pci=assign-busses, or enable fewer VFs")


def windows(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks at the memory of the VFs' BARs."""
    lines = (pf.sysfs.read(f"{pf.folder}/resource") or "").splitlines()
    ranges = [tuple(int(word, 16) for word in line.split())
              for line in lines[_FIRST_VF_BAR:_FIRST_VF_BAR + 6]]
    assigned = [end - start + 1 for start, end, flags in ranges if flags and start]
    missing = [bar for bar, (start, _, flags) in enumerate(ranges) if flags and not start]
    if not ranges:
        yield unknown(pf, "the BARs of its VFs cannot be read", "is CONFIG_PCI_IOV set?")
    elif missing or not assigned:
        yield error(pf, f"VF BAR {missing[0] if missing else 0} has no memory window",
                    "enable SR-IOV and Above 4G Decoding in the firmware, or boot with"
                    " pci=realloc")
    else:
        yield ok(pf, f"VF BARs have {sum(assigned) >> 10} KiB of memory windows")
