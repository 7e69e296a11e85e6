# SPDX-License-Identifier: GPL-2.0
"""The commands: each module has ``add()``, which describes the command line, and ``run()``."""
