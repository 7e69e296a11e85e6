# SPDX-License-Identifier: GPL-2.0
"""Whether VFs are isolated from the host and from each other: IOMMU and ACS."""

from collections.abc import Iterator

from nvme_sriov.config_space import ACS, EXPRESS, ConfigSpace
from nvme_sriov.doctor.finding import Finding, ok, unknown, warning
from nvme_sriov.physical import PhysicalFunction
from nvme_sriov.sysfs import DEVICES

_FLAGS, _CONTROL = 2, 6
_ROOT_PORT, _DOWNSTREAM = 4, 6
_NEEDED = 0x1d
"""Source Validation, P2P Request Redirect, Completion Redirect, Upstream Forwarding."""


def isolation(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks at the IOMMU, and at what can reach what without it."""
    if pf.sysfs.target(f"{pf.folder}/iommu_group") is None:
        yield warning(pf, "no IOMMU: who has a VF reaches all memory of the host, and vfio-pci"
                      " refuses VFs",
                      "enable VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on on"
                      " Intel")
        return
    yield ok(pf, "behind an IOMMU")
    groups = {vf: pf.sysfs.target(f"{vf.device}/iommu_group")
              for vf in pf.vfs[:pf.enabled] if vf.address}
    if groups:
        for vf, group in groups.items():
            others = [name for name in
                      pf.sysfs.names(f"sys/kernel/iommu_groups/{group}/devices")
                      if name != vf.address]
            if others:
                yield warning(vf, f"in one IOMMU group with {', '.join(others)}:"
                              " they can only be given away together",
                              "use a slot below a port with ACS")
        if len(set(groups.values())) == len(groups):
            yield ok(pf, "each VF has an IOMMU group of its own")
        return
    yield from _ports(pf)


def _ports(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks at ACS of the ports above."""
    without = []
    for name in pf.sysfs.real(pf.folder).split("/")[:-1]:
        if not pf.sysfs.exists(f"{DEVICES}/{name}"):
            continue
        config = ConfigSpace(pf.sysfs, name)
        if not config.is_complete:
            yield unknown(pf, f"ACS of {name} cannot be read", "run this as root")
            continue
        express = config.capability(EXPRESS)
        kind = config.word(express + _FLAGS) >> 4 & 15 if express else None
        if kind in (_ROOT_PORT, _DOWNSTREAM):
            acs = config.extended(ACS)
            if acs is None or config.word(acs + _CONTROL) & _NEEDED != _NEEDED:
                without.append(name)
    if without:
        yield warning(pf, f"{', '.join(without)} above it has no ACS, or has it not enabled:"
                      " VFs may share an IOMMU group", "use a slot below a port with ACS")
    else:
        yield ok(pf, "ports above it have ACS")
