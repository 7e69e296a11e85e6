# SPDX-License-Identifier: GPL-2.0
"""A physical function as an ordinary controller: its namespaces, parameters, quirks and
trace events."""
