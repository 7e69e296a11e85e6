# SPDX-License-Identifier: GPL-2.0
"""Data of commands: lists, metadata, memory buffers."""
