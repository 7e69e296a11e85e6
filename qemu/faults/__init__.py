# SPDX-License-Identifier: GPL-2.0
"""Faults that are injected on purpose: devices that misbehave, media that fail, allocations
that fail; and the fixtures and checks of the tests for them.

The package imports guest and subject; benchmark, endurance and the tests may use it.
"""
