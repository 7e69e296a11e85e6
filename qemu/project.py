# SPDX-License-Identifier: GPL-2.0
"""The folders of the project's sources and of what is built from them."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"
"""The folder of builds and of the results of runs, which git ignores."""
