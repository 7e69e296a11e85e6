# SPDX-License-Identifier: GPL-2.0
"""Resets, errors of links, and removals under I/O."""
