# SPDX-License-Identifier: GPL-2.0
"""The program qemu/profile: shows in which functions the instructions of an I/O are, with nvme-rs
and with the kernel's own driver."""
