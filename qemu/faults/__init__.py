# SPDX-License-Identifier: GPL-2.0
"""What goes wrong on purpose: devices that misbehave, media that fail, memory that there
is not, and what the tests of all that begin with and look at.

It imports guest and subject; benchmark, endurance and the tests may use it.
"""
