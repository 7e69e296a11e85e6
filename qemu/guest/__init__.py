# SPDX-License-Identifier: GPL-2.0
"""The machine: a QEMU guest with NVMe controllers, and ways to run commands in it, to
read its log and to ask QEMU.

It knows nothing of the driver under test, but for the file that a guest gets. It imports
nothing of the other packages, and all of them may use it.
"""
