# SPDX-License-Identifier: GPL-2.0
"""What I/O costs with nvme-rs and with the kernel's own driver, measured and compared:
the program qemu/bench.

It imports guest and subject. Nobody uses it but its own tests.
"""
