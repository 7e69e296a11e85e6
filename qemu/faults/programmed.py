# SPDX-License-Identifier: GPL-2.0
"""A machine with a controller that tests program, beside QEMU's own."""

from guest.device import settings
from guest.shape import Shape

SHAPE = Shape(cpus=2, vfs=0, namespaces=0, io_queues=2, devices=(settings(serial="device-0"),))
ENTRIES = 256
"""The most entries of a queue of the controller, by its default settings."""

CAP, CSTS = 0x00, 0x1c
"""Offsets of registers."""
