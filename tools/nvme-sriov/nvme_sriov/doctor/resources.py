# SPDX-License-Identifier: GPL-2.0
"""Whether the controller has resources for all of its VFs."""

from collections.abc import Iterator

from nvme_sriov.doctor.finding import Finding, error, ok, unknown, warning
from nvme_sriov.physical import PhysicalFunction
from nvme_sriov.setting import KINDS, MINIMUM


def resources(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks at the flexible resources."""
    if not pf.manages:
        if pf.driver == "nvme_rs":
            yield ok(pf, "no Virtualization Management: VFs have resources of their own")
        return
    for kind in KINDS:
        pool = pf.pool(kind)
        if not pool.get("total"):
            yield ok(pf, f"VFs have {kind} of their own")
            continue
        if pool["total"] < MINIMUM[kind]:
            yield error(pf, f"{pool['total']} flexible {kind}, a VF needs {MINIMUM[kind]}",
                        "configure the controller's firmware")
            continue
        held = pool["total"] - pool.get("primary", 0) - pool.get("free", 0)
        # Those of VFs that are enabled come back when they are disabled.
        stray = held - sum(vf.number(f"assigned_{kind}") or 0 for vf in pf.vfs)
        possible = (pool["total"] - max(stray, 0)) // MINIMUM[kind]
        if possible < pf.total:
            yield warning(pf, f"{pool['total']} flexible {kind} are enough for {possible} of"
                          f" {pf.total} VFs", f"enable {possible} VFs or fewer")
        else:
            yield ok(pf, f"{pool['total']} flexible {kind} are enough for {pf.total} VFs")
    settings = [vf.number("queues") for vf in pf.vfs]
    if None in settings:
        yield unknown(pf, "its VFs cannot be read", "see the kernel log")
