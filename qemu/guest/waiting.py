# SPDX-License-Identifier: GPL-2.0
"""Waits for a condition, with a time limit."""

import time
from collections.abc import Callable
from typing import TypeVar

from guest.errors import Timeout
from guest.kernel import PATIENCE

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, timeout: float = 20) -> T:
    """Returns the first true value of ``condition``.

    Raises Timeout, which names ``what``, after ``timeout`` seconds.
    """
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Timeout(f"not in {timeout} s: {what}")
        time.sleep(0.1)
    return value
