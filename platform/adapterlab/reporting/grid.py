"""A table of a report, before it has a format: columns, entries, and sentences below."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

NOTHING = "–"
"""What stands where there is nothing to say."""
Mark = Literal["best", "second"]


@dataclass(frozen=True)
class Entry:
    """One cell of a table."""

    text: str
    spread: str | None = None
    """Standard deviation, set beside or below the text."""
    note: str | None = None
    """What is missing or odd, in a few words."""
    mark: Mark | None = None


@dataclass(frozen=True)
class Column:
    """One column's heading."""

    name: str
    detail: str | None = None
    """Smaller, beside it: a metric's name, a unit."""
    is_number: bool = True
    group: int = 0
    """Where not all fit beside each other, columns of one group stand together."""


@dataclass(frozen=True)
class Grid:
    """One table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = field(default=())
    """Sentences below it."""
    marks: str | None = None
    """What its marks say; ``None`` where no entry has one."""
