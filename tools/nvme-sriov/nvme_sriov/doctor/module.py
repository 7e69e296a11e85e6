# SPDX-License-Identifier: GPL-2.0
"""The module: loaded, and signed where that matters."""

import re
from collections.abc import Iterator

from nvme_sriov.doctor.finding import Finding, error, ok, warning
from nvme_sriov.sysfs import Sysfs

_NAME = "nvme_rs"
_FOLDER = f"sys/module/{_NAME}"


def module(sysfs: Sysfs) -> Iterator[Finding]:
    """Looks at the module and its signature."""
    enforced = _enforced(sysfs)
    if not sysfs.exists(_FOLDER):
        why = f"; {enforced}, so it must be signed with a key that the kernel knows" \
            if enforced else ""
        yield error(_NAME, f"not loaded{why}",
                    f"modprobe {_NAME}; the kernel log says why if that fails"
                    + (" (enrol the key with mokutil)" if enforced else ""))
        return
    yield ok(_NAME, "loaded")
    # E: loaded although no key of the kernel has signed it.
    if "E" in (sysfs.read(f"{_FOLDER}/taint") or ""):
        yield warning(_NAME, "its signature is missing or unknown",
                      "sign it, or it will not load with Secure Boot or"
                      " module.sig_enforce=1")
    else:
        yield ok(_NAME, "signed with a key that the kernel knows, or the kernel does not ask")


def _enforced(sysfs: Sysfs) -> str | None:
    if sysfs.read("sys/module/module/parameters/sig_enforce") == "Y":
        return "module.sig_enforce is set"
    lockdown = re.search(r"\[(\w+)\]", sysfs.read("sys/kernel/security/lockdown") or "")
    if lockdown and lockdown[1] != "none":
        return f"the kernel is locked down ({lockdown[1]})"
    return None
