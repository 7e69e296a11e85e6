# SPDX-License-Identifier: GPL-2.0
"""The guest's kernel log, and the patterns by which faults are recognized in it."""

import re
from pathlib import Path

_FAULTS = re.compile(
    r"""
      WARNING:
    | BUG:
    | Oops
    | Kernel\ panic
    | general\ protection\ fault
    | Call\ [Tt]race:
    | cut\ here
    | rust_kernel:\ panicked | panicked\ at
    | KASAN: | KCSAN: | KFENCE: | UBSAN:
    | blocked\ for\ more\ than\ \d+\ seconds
    | soft\ lockup | hard\ LOCKUP
    | rcu.*(detected\ stalls?|self-detected\ stall)
    | possible\ (circular|recursive)\ locking | inconsistent\ lock\ state
    | suspicious\ RCU\ usage
    | sleeping\ function\ called\ from\ invalid\ context
    | scheduling\ while\ atomic
    | DMA-API:
    | ODEBUG:
    | DMAR:.*fault | arm-smmu.*\ event:\ | SError\ Interrupt
    | kmemleak:(?!.*\ suspected\ )      # subject/leaks.py tells true from false
    | locking\ correctness\ validator   # lockdep has given up
    | not\ ok\ \d+                      # a unit test
    | refcount_t:
    | list_(add|del)\b                  # corrupt, or misused
    | nobody\ cared
    | driver\ left\ SR-IOV\ enabled
    """,
    re.VERBOSE,
)


def faults(text: str) -> list[str]:
    """Returns the lines of ``text`` by which a kernel reports a fault."""
    return [line for line in text.splitlines() if _FAULTS.search(line)]


class KernelLog:
    """The output of the guest's kernel on its serial console, divided into windows.

    A window holds the lines that were written since the previous window was closed, so
    that every line belongs to exactly one window.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = 0

    def all(self) -> str:
        """Returns the log since boot."""
        return self._read(0)

    def window(self) -> str:
        """Returns the open window."""
        return self._read(self._start)

    def close_window(self) -> None:
        """Closes the open window, and opens one that begins at the end of the log."""
        self._start = self._path.stat().st_size

    def _read(self, start: int) -> str:
        with self._path.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace").replace("\r", "")
