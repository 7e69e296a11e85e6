# SPDX-License-Identifier: GPL-2.0
"""Sleep, hibernation, kexec, power-off."""
