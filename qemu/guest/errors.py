# SPDX-License-Identifier: GPL-2.0
"""What can go wrong with a machine."""


class MachineError(Exception):
    """Something that a test expected of the machine did not happen."""


class MachineDied(MachineError):
    """QEMU ended: the kernel panicked, or powered off."""


class CommandFailed(MachineError):
    """A command in the guest had an exit status other than 0."""


class Timeout(MachineError):
    """Something took longer than its limit."""
