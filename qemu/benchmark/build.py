# SPDX-License-Identifier: GPL-2.0
"""How the module under test was built."""

import subprocess
from functools import cache

from guest.image import MODULE


@cache
def inlined() -> bool:
    """Returns whether C's inline functions are inlined in the module. Else it calls those that
    the kernel has for Rust."""
    missing = subprocess.run(["nm", "--undefined-only", str(MODULE)], stdout=subprocess.PIPE,
                             check=True, text=True).stdout
    return " rust_helper_" not in missing
