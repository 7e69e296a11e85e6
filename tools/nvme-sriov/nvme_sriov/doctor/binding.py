# SPDX-License-Identifier: GPL-2.0
"""Who drives the PF."""

from collections.abc import Iterator

from nvme_sriov.doctor.finding import Finding, error, ok, warning
from nvme_sriov.physical import PhysicalFunction


def binding(pf: PhysicalFunction) -> Iterator[Finding]:
    """Looks at the PF's driver, and at the state of its controller."""
    if pf.driver != "nvme_rs":
        yield error(pf, f"its driver is {pf.driver or 'missing'}, not nvme_rs",
                    f"driverctl set-override {pf} nvme_rs")
        return
    state = pf.identity("state")
    if state != "live":
        yield error(pf, f"its controller is {state or 'missing'}, not live",
                    "see the kernel log; a reset may help: nvme reset, or echo 1 >"
                    f" /{pf.folder}/reset")
    else:
        yield ok(pf, f"nvme_rs has it, {pf.controller} is live")
    if not pf.probes:
        yield warning(pf, "sriov_drivers_autoprobe is 0: VFs that are enabled get no driver",
                      f"echo 1 > /{pf.folder}/sriov_drivers_autoprobe, unless it is meant so")
