# SPDX-License-Identifier: GPL-2.0
"""The torture: rounds in which actors work at once, by a seed, and what must hold between
two of them.

It imports guest, subject and faults, and nothing of the soak.
"""
