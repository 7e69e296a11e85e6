# SPDX-License-Identifier: GPL-2.0
"""Queues, doorbells, CPUs and nodes."""
