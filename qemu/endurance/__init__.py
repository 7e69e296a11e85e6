# SPDX-License-Identifier: GPL-2.0
"""What the driver comes through in the long run: the programs qemu/soak, which does one
thing over and over and sees that nothing grows, and qemu/torture, which has many do at
once what the driver has to come through.

It imports guest, subject and faults. Nobody uses it but its own tests.
"""
