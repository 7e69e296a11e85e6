# SPDX-License-Identifier: GPL-2.0
"""The exceptions of a machine."""


class MachineError(Exception):
    """The machine did not do what a test expected."""


class MachineDied(MachineError):
    """QEMU ended because the kernel panicked or powered off."""


class CommandFailed(MachineError):
    """A command in the guest had an exit status other than 0."""


class Timeout(MachineError):
    """An operation took longer than its limit."""
