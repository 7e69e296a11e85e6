# SPDX-License-Identifier: GPL-2.0
"""The machine: a QEMU guest with NVMe controllers, and ways to run commands in it, to
read its log and to ask QEMU.

The package does not know the driver under test, except for the module file that is copied
into the guest. It imports no other package, and all of them may use it.
"""
