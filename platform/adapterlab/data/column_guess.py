"""What the columns of a person's file seem to be: a first draft of a ``[[task]]``, for them to correct."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapterlab.data.formats import format_of, records
from adapterlab.errors import DataError
from adapterlab.given_files import check_regular

_ROWS = 1000
"""Rows that are looked at."""
_LABELS = (
    "label",
    "labels",
    "class",
    "target",
    "category",
    "sentiment",
    "score",
    "rating",
    "y",
    "gold",
    "answer",
)
_PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "sentence"), ("text", "text_pair"),
          ("text1", "text2"), ("question1", "question2"), ("text_a", "text_b"))  # fmt: skip
_TEXTS = (
    "text",
    "sentence",
    "review",
    "comment",
    "content",
    "body",
    "message",
    "document",
    "question",
    "title",
)
_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
_MOST_CLASSES = 100


@dataclass(frozen=True)
class ColumnGuess:
    """Which columns a task would read, and what its labels are."""

    columns: tuple[str, ...]
    """All that the file has."""
    text: tuple[str, ...]
    """One or two."""
    label: str
    type: Literal["classification", "regression"]


def guess_columns(path: Path, *, text: Sequence[str] = (), label: str | None = None) -> ColumnGuess:
    """Look at a file's first rows and say which columns seem to be its texts and its label.

    Args:
        path: A file as tasks take it.
        text: Its text columns, where that is known.
        label: Its label column, where that is known.

    Raises:
        NotFoundError: There is no such file.
        DataError: It cannot be read, has not the columns named, or none that could be the texts and the label.
    """
    check_regular(path)
    if format_of(path) is None:
        next(iter(records(path)), None)  # says which formats there are
    rows = [row for _, row in itertools.islice(records(path), _ROWS) if isinstance(row, Mapping)]
    columns = tuple(dict.fromkeys(str(column) for row in rows for column in row))
    for named in (*text, *(() if label is None else (label,))):
        if named not in columns:
            raise DataError(f"{path} has no column {named!r}", remedy=f"It has: {', '.join(columns)}.")
    label = label or _label(columns, rows, text)
    chosen = tuple(text) or _texts(columns, rows, label)
    if label is None or not chosen:
        raise DataError(
            f"{path}: no column that could be {'the label' if label is None else 'a text'} among "
            f"{', '.join(columns) or 'none'}",
            remedy="Name them: --text COLUMN and --label COLUMN.",
        )
    return ColumnGuess(columns, chosen, label, _type([row.get(label) for row in rows]))


def _label(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], text: Sequence[str]) -> str | None:
    by_name = {column.lower(): column for column in columns}
    for name in _LABELS:
        if name in by_name and by_name[name] not in text:
            return by_name[name]
    few = [
        column
        for column in columns
        if column not in text and 2 <= len({str(row.get(column)) for row in rows}) <= _MOST_CLASSES
    ]
    return few[-1] if few else None


def _texts(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], label: str | None) -> tuple[str, ...]:
    texts = [
        column
        for column in columns
        if column != label and rows and all(isinstance(row.get(column), str) for row in rows)
    ]
    by_name = {column.lower(): column for column in texts}
    for pair in _PAIRS:
        if all(name in by_name for name in pair):
            return tuple(by_name[name] for name in pair)
    for name in _TEXTS:
        if name in by_name:
            return (by_name[name],)
    longest = sorted(texts, key=lambda column: -sum(len(row[column]) for row in rows))
    return tuple(longest[:1])


def _type(values: Sequence[Any]) -> Literal["classification", "regression"]:
    """Return ``regression`` for numbers with a fraction; whole numbers are the names of classes until there are many."""
    fractions = [
        isinstance(value, float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None)
        for value in values
    ]
    return (
        "regression"
        if any(fractions) and len(set(map(str, values))) > 2 and _all_numbers(values)
        else "classification"
    )


def _all_numbers(values: Sequence[Any]) -> bool:
    for value in values:
        try:
            float(value)
        except (TypeError, ValueError):
            return False
    return True
