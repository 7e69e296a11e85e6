# SPDX-License-Identifier: GPL-2.0
"""VFs that misbehave, media and allocations that fail."""
