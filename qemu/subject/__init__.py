# SPDX-License-Identifier: GPL-2.0
"""What is tested: the driver in a guest, the functions and controllers that it serves,
their disks, and what it leaves behind.

It shows them as the guest's administrator sees them, through sysfs, nvme-cli and fio, and
makes nothing fail. It imports guest; faults, all programs and the tests may use it.
"""
