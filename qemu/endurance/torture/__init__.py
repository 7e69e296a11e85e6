# SPDX-License-Identifier: GPL-2.0
"""The torture: rounds in which actors work at once, as a seed decides, and the checks
between two rounds.

It imports guest, subject and faults, and nothing of the soak.
"""
