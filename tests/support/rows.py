"""Splits read whole, as tests look at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.data.row_reading import ReadOptions, Row, file_rows
from adapterlab.fingerprint import Json
from adapterlab.registry.task_definitions import TaskDefinition


@dataclass(frozen=True)
class Rows:
    """The used columns of one split, in memory."""

    texts: list[tuple[str, ...]]
    """One or two texts a sequence; ``choices`` sequences a row."""
    labels: list[Any]
    """Class ids, regression targets, or tuples of label ids."""
    choices: int = 1
    groups: list[int] | None = None
    extras: list[Mapping[str, Json]] | None = None

    def __len__(self) -> int:
        return len(self.labels)


def gathered(rows: Iterable[Row]) -> Rows:
    """Return rows as columns in memory."""
    kept = list(rows)
    grouped = bool(kept) and kept[0].group is not None
    extra = bool(kept) and kept[0].extras is not None
    return Rows(
        texts=[sequence for row in kept for sequence in row.sequences],
        labels=[row.label for row in kept],
        choices=len(kept[0].sequences) if kept else 1,
        groups=[row.group for row in kept if row.group is not None] if grouped else None,
        extras=[row.extras for row in kept if row.extras is not None] if extra else None,
    )


def read_file(path: Path, definition: TaskDefinition, options: ReadOptions | None = None) -> Rows:
    """Read one split from a file into memory."""
    return gathered(file_rows(path, definition, options or ReadOptions()))
