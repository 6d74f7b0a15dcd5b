"""How commands write: data to standard output, progress and messages to standard error."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 10_000
"""Wide enough that rich never breaks a line of a pipe."""


def stdout() -> Console:
    """Return a console for results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return a console for progress and messages."""
    return _console(sys.stderr)


def is_interactive(stream: TextIO) -> bool:
    """Return whether a person watches the stream: a terminal that can move its cursor, and no CI."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def emit(text: str) -> None:
    """Write one line, or several, of results."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Write a message for the person, not for a pipe."""
    sys.stdout.flush()  # keeps the order right where both streams are one terminal
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def emit_json(value: Any) -> None:
    """Write one JSON document: dataclasses as objects, times in ISO form, NaN and infinity as null."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    document = json.dumps(to_json(value), indent=2, ensure_ascii=ascii_only, allow_nan=False)
    sys.stdout.write(f"{document}\n")


def to_json(value: Any) -> Any:
    """Return a value as something JSON can say.

    Raises:
        TypeError: It is of a kind that has no JSON form.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): to_json(item) for name, item in value.items()}
    return _object_to_json(value)


def _object_to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return to_json(value.model_dump(mode="json"))
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    raise TypeError(f"no JSON form for a {type(value).__name__}: {value!r}")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
) -> None:
    """Write a table: drawn on a terminal, aligned plain lines elsewhere.

    Args:
        columns: Headings.
        rows: Cells, shown as text; ``None`` is an empty cell.
        title: One line above it.
        right: Headings of columns that are aligned to the right, such as numbers.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if is_interactive(sys.stdout):
        _drawn(columns, cells, title, set(right))
    else:
        _plain(columns, cells, title, set(right))


def _drawn(columns: Sequence[str], cells: list[list[str]], title: str | None, right: set[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    stdout().print(drawn)


def _plain(columns: Sequence[str], cells: list[list[str]], title: str | None, right: set[str]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if title:
        emit(title)
    for row in [columns, *cells]:
        aligned = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        )
        emit("  ".join(aligned).rstrip())


def _console(stream: TextIO) -> Console:
    """Return a rich console; rich itself honours NO_COLOR, FORCE_COLOR and TERM."""
    from rich.console import Console

    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())
