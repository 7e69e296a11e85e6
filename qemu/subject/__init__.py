# SPDX-License-Identifier: GPL-2.0
"""The subject of the tests: the driver in a guest, the functions and controllers that it
serves, their disks, and the resources that it leaks.

The package sees them as the guest's administrator does, through sysfs, nvme-cli and fio,
and injects no faults. It imports guest; faults, all programs and the tests may use it.
"""
