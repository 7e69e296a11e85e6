# SPDX-License-Identifier: GPL-2.0
"""The program qemu/bench: measures what I/O costs with nvme-rs and with the kernel's own
driver, and compares them.

The package imports guest and subject. Only its own tests use it.
"""
