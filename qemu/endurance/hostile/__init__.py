# SPDX-License-Identifier: GPL-2.0
"""Rounds with controllers that lie by seed: the driver comes through each, and another
controller does not notice.

Uses the machine (``guest``), and what is tested (``subject``). Only ``qemu/hostile`` and tests use it.
"""
