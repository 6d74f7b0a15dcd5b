"""Files that are their owner's only: the umask of everything in the home folder and the caches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

PRIVATE = 0o077
"""The umask of everything in the home folder: task texts, weights and results are nobody else's."""


@contextmanager
def private_umask() -> Iterator[None]:
    """Make what is written meanwhile, by this process and those it starts, its owner's only.

    The process has one umask: threads beside this one write so too.
    """
    before = os.umask(PRIVATE)
    try:
        yield
    finally:
        os.umask(before)
