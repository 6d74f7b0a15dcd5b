"""Memory that is free inside the process and given back to the system.

Each pass has other numbers of tokens, so its tensors have other sizes. glibc's allocator keeps what
they leave, in pieces that fit no later tensor: within half an hour a worker that needs 2 GB held 11.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from functools import cache

_EVERY_S = 30.0
"""What was given back must be asked for again, about a step's working memory: once in many steps."""


class Spare:
    """Gives free memory back now and then.

    Memory is the process's: passes that all share :data:`SPARE` give back in time however short they are.
    """

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._last = time.monotonic()

    def give_back(self) -> None:
        """Give free memory back if the last time is long enough ago; cheap otherwise."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return
        self._last = now
        if (trim := _trim()) is not None:
            trim(0)


SPARE = Spare()
"""The process's own."""


@cache
def _trim() -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``; ``None`` where the allocator is another."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
