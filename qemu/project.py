# SPDX-License-Identifier: GPL-2.0
"""Where the project's sources are, and what is made of them."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"
"""What runs leave behind, and git does not see."""
