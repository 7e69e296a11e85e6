# SPDX-License-Identifier: GPL-2.0
"""The tests, by what they are about. They are packages, for files of the same name."""
