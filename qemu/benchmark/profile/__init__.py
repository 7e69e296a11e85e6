# SPDX-License-Identifier: GPL-2.0
"""In which functions the instructions of an I/O are."""
