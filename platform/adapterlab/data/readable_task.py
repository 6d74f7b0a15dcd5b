"""A task's rows by split, to be looked at: mapped from this machine's cache, never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.data.arrow_rows import StoredRows
from adapterlab.data.load import stored_rows
from adapterlab.data.row_sources import DataPlaces, TaskSource, task_source
from adapterlab.data.splits import split_rows
from adapterlab.data.task_facts import task_facts
from adapterlab.records import ProblemType, Splits, TaskFacts
from adapterlab.registry.protocols import TaskDefinition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class OpenSplit:
    """One split's rows, in the order in which they are trained on or scored."""

    name: str
    """``"train"``, ``"validation"`` or ``"test"``."""
    rows: StoredRows
    """The rows of the file it comes from; several splits may come from one."""
    places: NDArray[np.int64]
    """Which of them, (N,), from 0."""
    labels: NDArray[Any]
    """Of its rows: (N,) class ids, choices or numbers; (N, C) 0 or 1 for multi-label."""
    file: str
    """Name of the split in whose file the rows stand: ``"train"`` of a validation split that is cut."""

    def __len__(self) -> int:
        return len(self.places)

    def number(self, row: int) -> int:
        """Return a row's number in its file as read, from 1."""
        return int(self.places[row]) + 1

    def examples(self) -> Iterator[tuple[tuple[str, ...], ...]]:
        """Yield every row's sequences: one, or one a choice; each of one or two texts."""
        sequences = self.rows.sequences(self.places.tolist())
        for first in sequences:
            yield (first, *(next(sequences) for _ in range(self.rows.choices - 1)))

    def example(self, row: int) -> tuple[tuple[str, ...], ...]:
        """Return one row's sequences."""
        return tuple(self.rows.sequences([int(self.places[row])]))


@dataclass(frozen=True)
class OpenTask:
    """A task whose data is at hand."""

    facts: TaskFacts
    definition: TaskDefinition
    source: TaskSource
    splits: Mapping[str, OpenSplit]
    """Train, validation and test, in this order."""


def open_task(
    task: str,
    *,
    root: Path | None,
    cache: Path,
    places: DataPlaces | None = None,
    progress: Progress | None = None,
) -> OpenTask:
    """Return a task's rows, read once and kept in this machine's cache.

    Args:
        task: Full name, ``<benchmark>/<task>``.
        root: Folder of real tasks; ``None`` for generated ones.
        cache: Folder of this machine's caches.
        places: Where else rows are: the hub, and the spec's own tasks.
        progress: Told how far it is while rows are read.

    Raises:
        NotFoundError: The task is unknown, or its data is not at hand.
        DataError: Its data is malformed, or too little to split.
    """
    source = task_source(task, root=root, cache=cache, places=places)
    facts = task_facts(task, root=root, cache=cache, places=places)
    definition = replace(source.definition, labels=facts.labels)
    source = replace(source, definition=definition)
    rows = stored_rows(source, facts, cache, progress or (lambda *_: None))
    labels = {
        split: part.labels(definition.problem_type, len(definition.labels)) for split, part in rows.items()
    }
    cut = split_rows(task, definition, labels["train"])
    return OpenTask(
        facts, definition, source, {name: _split(name, definition, rows, labels, cut) for name in SPLITS}
    )


def _split(
    name: str,
    definition: TaskDefinition,
    rows: Mapping[str, StoredRows],
    labels: Mapping[str, NDArray[Any]],
    cut: Mapping[str, NDArray[np.int64]],
) -> OpenSplit:
    import numpy as np

    file = name if name in rows else "train"
    if definition.splits is Splits.SHARED and name == "validation":
        file = "test"
    places = cut[name] if name in cut else np.arange(len(rows[file]), dtype=np.int64)
    return OpenSplit(name, rows[file], places, labels[file][places], file)


def label_name(definition: TaskDefinition, label: Any) -> str:
    """Return a row's label as people call it; of a multi-label row all that it has, ``"–"`` for none."""
    if definition.problem_type is ProblemType.REGRESSION:
        return f"{float(label):g}"
    if definition.problem_type is ProblemType.MULTI_LABEL:
        names = [definition.labels[index] for index, has in enumerate(label) if has]
        return ", ".join(names) or "–"
    return definition.labels[int(label)]
