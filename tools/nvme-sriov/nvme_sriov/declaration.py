# SPDX-License-Identifier: GPL-2.0
"""What a PF is to be like."""

from dataclasses import dataclass, field

from nvme_sriov.failure import Misuse
from nvme_sriov.physical import PhysicalFunction
from nvme_sriov.setting import KINDS, MINIMUM, Setting


@dataclass(frozen=True)
class Declaration:
    """The VFs that are to be enabled, and what VFs are to have. A VF without a setting has
    none."""

    vfs: int
    settings: dict[int, Setting] = field(default_factory=dict)

    def setting(self, index: int) -> Setting:
        """Returns what a VF is to have."""
        return self.settings.get(index, Setting())


def check(pf: PhysicalFunction, wanted: Declaration) -> None:
    """Raises Misuse if the PF cannot be like that, as far as sysfs tells."""
    if wanted.vfs > pf.total:
        raise Misuse(f"{pf}: {wanted.vfs} VFs: there can be {pf.total}")
    for index, setting in wanted.settings.items():
        pf.vf(index)
        if not pf.manages and setting != Setting(driver=setting.driver):
            raise Misuse(f"{pf} vf{index}: {why_unmanaged(pf)}")
        for kind in KINDS if pf.manages else ():
            _check_count(pf, index, kind, getattr(setting, kind))
    if pf.manages and wanted.vfs:
        for kind in KINDS:
            _check_pool(pf, wanted, kind)


def why_unmanaged(pf: PhysicalFunction) -> str:
    """Returns why VFs of the PF cannot get resources or namespaces."""
    if pf.driver == "nvme_rs":
        return "the controller has no Virtualization Management, its VFs have what they have"
    return f"the driver of the PF is {pf.driver or 'missing'}, not nvme_rs"


def _check_count(pf: PhysicalFunction, index: int, kind: str, count: int) -> None:
    pool = pf.pool(kind)
    if count and not pool.get("total"):
        raise Misuse(f"{pf} vf{index}: {count} {kind}: the controller hands out none")
    if pool.get("vf_max") and count > pool["vf_max"]:
        raise Misuse(f"{pf} vf{index}: {count} {kind}: a VF can have {pool['vf_max']}")


def _check_pool(pf: PhysicalFunction, wanted: Declaration, kind: str) -> None:
    total = pf.pool(kind).get("total", 0)
    needed = sum(getattr(wanted.setting(index), kind) or MINIMUM[kind]
                 for index in range(wanted.vfs))
    if total and needed > total:
        raise Misuse(f"{pf}: {wanted.vfs} VFs need {needed} {kind}, the controller has {total};"
                     " enable fewer, or give single VFs less")
