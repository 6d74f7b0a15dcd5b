"""Whether there is a catalog at all, told without the database library, whose import takes 0.1 s."""

from __future__ import annotations

from adapterlab.home import sqlite_file


def is_missing(url: str) -> bool:
    """Return whether a catalog is a file that does not exist; elsewhere one must connect to know.

    Args:
        url: As ``store.open_catalog`` takes it.
    """
    file = sqlite_file(url)
    return file is not None and not file.exists()
