# SPDX-License-Identifier: GPL-2.0
"""Tests in a Debian guest."""
