# SPDX-License-Identifier: GPL-2.0
"""The soak: cycles of a kind, and levels that must not rise from the first to the last.

It imports guest and subject, and nothing of the torture.
"""
