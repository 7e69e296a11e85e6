# SPDX-License-Identifier: GPL-2.0
"""A controller that is not QEMU's, of other kinds and with faults."""
