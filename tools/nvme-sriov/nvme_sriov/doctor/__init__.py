# SPDX-License-Identifier: GPL-2.0
"""What would keep VFs from working: each function looks at one thing, and changes nothing."""
