# SPDX-License-Identifier: GPL-2.0
"""The walk-throughs of a document: the commands that it shows, run in a guest."""
