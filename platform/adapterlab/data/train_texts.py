"""The training texts of a task as plain text, for combiners that compare tasks by what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from adapterlab.data.arrow_rows import StoredRows
from adapterlab.data.load import stored_rows
from adapterlab.data.row_sources import DataPlaces, task_source
from adapterlab.data.splits import split_rows
from adapterlab.data.task_facts import task_facts


class TrainTexts(Sequence[str]):
    """Texts of the training split in its order, read when they are asked for.

    A row's text is its first sequence, the parts joined by a space: of a multiple-choice row the premise
    and the first choice.
    """

    def __init__(self, rows: StoredRows, places: Sequence[int]) -> None:
        self._rows = rows
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        return " ".join(next(iter(self._rows.sequences([int(self._places[index])]))))


def train_texts(
    task: str, *, root: Path | None, cache: Path, places: DataPlaces | None = None, limit: int | None = None
) -> TrainTexts:
    """Return the texts a task trains on.

    Args:
        task: Full name.
        root: Folder of real tasks; ``None`` for generated ones.
        cache: Folder of this machine's caches.
        places: Where else rows are.
        limit: Only the first so many rows of the shuffled training split; ``None``: all.

    Raises:
        NotFoundError: The task is unknown, or its files are not there.
        DataError: Its data is malformed, or too little to split.
    """
    source = task_source(task, root=root, cache=cache, places=places)
    facts = task_facts(task, root=root, cache=cache, places=places)
    definition = replace(source.definition, labels=facts.labels)
    rows = stored_rows(replace(source, definition=definition), facts, cache, lambda *_: None)["train"]
    labels: Any = rows.labels(definition.problem_type, len(definition.labels))
    chosen = split_rows(task, definition, labels).get("train")
    order: Sequence[int] = range(len(rows)) if chosen is None else chosen.tolist()
    return TrainTexts(rows, order[:limit])
