# SPDX-License-Identifier: GPL-2.0
"""The machine, the detectors, and the other programs, in short."""
