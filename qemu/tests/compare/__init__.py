# SPDX-License-Identifier: GPL-2.0
"""Scripts and times beside the kernel's own driver."""
