# SPDX-License-Identifier: GPL-2.0
"""Long tests: the program qemu/soak repeats one operation after the other and checks that
no resource grows; the program qemu/torture runs many operations at once and checks that
the driver survives them.

The package imports guest, subject and faults. Only its own tests use it.
"""
