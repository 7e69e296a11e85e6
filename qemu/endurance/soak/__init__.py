# SPDX-License-Identifier: GPL-2.0
"""The soak: repeats cycles of one kind, and checks that resource levels do not rise.

It imports guest and subject, and nothing of the torture.
"""
