"""A task's rows as text, by split: mapped from this machine's cache, never all in memory.

``rows/<content>/`` in the cache holds the canonical rows of each split that has rows of its own as Arrow files,
the same for every backbone; it is written as a stream and is whole or absent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from adapterlab.caching.folders import read_or_build
from adapterlab.data.arrow_rows import ArrowRows, write_rows
from adapterlab.data.row_source import RowSource
from adapterlab.data.split_files import MissingDataError
from adapterlab.data.splits import split_rows
from adapterlab.data.task_facts import ContentDigest, source_and_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError
from adapterlab.fingerprint import key_of
from adapterlab.records import ProblemType, Splits, TaskFacts
from adapterlab.registry.task_definitions import TaskDefinition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS_VERSION = 1
"""Raise it when the Arrow files of rows change."""
SPLITS = ("train", "validation", "test")

Progress = Callable[[str, int, int], None]
"""Told what is done (``"reading"``, ``"tokenising"``), how many rows of it, and of how many."""


def in_words(tell: Callable[[str], None], every_s: float, *, of: str = "") -> Progress:
    """Return a progress that tells people, ``"reading glue/rte: 4,096 of 10,000 rows"``, not more often than they read.

    Args:
        tell: Told the words.
        every_s: Seconds between two of them, and before the first.
        of: What is read, if that has to be said.
    """
    told = time.monotonic()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= every_s:
            told = time.monotonic()
            tell(f"{what} {of}".rstrip() + f": {done:,} of {total:,} rows")

    return progress


@dataclass(frozen=True)
class SplitRows:
    """One split's rows, in the order in which they are trained on or scored."""

    name: str
    """``"train"``, ``"validation"`` or ``"test"``."""
    rows: ArrowRows
    """The rows of the file it comes from; several splits may come from one."""
    indices: NDArray[np.int64]
    """Which of them, (N,), from 0."""
    labels: NDArray[Any]
    """Of its rows: (N,) class ids, choices or numbers; (N, C) 0 or 1 for multi-label."""
    file: str
    """Name of the split in whose file the rows stand: ``"train"`` of a validation split that is cut."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def is_test(self) -> bool:
        """Whether this is a validation split that is the test split too."""
        return self.name == "validation" and self.file == "test"

    def number(self, row: int) -> int:
        """Return a row's number in its file as read, from 1."""
        return int(self.indices[row]) + 1

    def sequences(self) -> Iterator[tuple[str, ...]]:
        """Yield the sequences of all rows, (N × choices), each of one or two texts."""
        return self.rows.sequences(self.indices.tolist())

    def examples(self) -> Iterator[tuple[tuple[str, ...], ...]]:
        """Yield every row's sequences: one, or one a choice; each of one or two texts."""
        sequences = self.sequences()
        for first in sequences:
            yield (first, *(next(sequences) for _ in range(self.rows.choices - 1)))

    def example(self, row: int) -> tuple[tuple[str, ...], ...]:
        """Return one row's sequences."""
        return tuple(self.rows.sequences([int(self.indices[row])]))


@dataclass(frozen=True)
class TaskRows:
    """A task whose data is at hand, as text."""

    facts: TaskFacts
    definition: TaskDefinition
    source: RowSource
    splits: Mapping[str, SplitRows]
    """Train, validation and test, in this order."""


class TrainTexts(Sequence[str]):
    """Texts of a training split in its order, read when they are asked for.

    A row's text is its first sequence, the parts joined by a space: of a multiple-choice row the premise
    and the first choice.
    """

    def __init__(self, rows: ArrowRows, indices: Sequence[int]) -> None:
        self._rows = rows
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        return " ".join(next(iter(self._rows.sequences([int(self._indices[index])]))))


def load_rows(library: TaskLibrary, task: str, *, progress: Progress | None = None) -> TaskRows:
    """Return a task's rows, read once and kept in this machine's cache.

    Args:
        library: Where the rows of tasks are.
        task: Full name, ``<benchmark>/<task>``.
        progress: Told how far it is while rows are read.

    Raises:
        NotFoundError: The task is unknown, or its data is not at hand.
        DataError: Its data is malformed, or too little to split.
    """
    source, facts = source_and_facts(library, task)
    return rows_of(source, facts, library.cache, progress)


def rows_of(source: RowSource, facts: TaskFacts, cache: Path, progress: Progress | None = None) -> TaskRows:
    """Return the rows of a source whose facts are known.

    Args:
        source: Where the rows are; its definition names the labels.
        facts: What is known of the task; its digest names the entry of the cache.
        cache: Folder of this machine's caches.
        progress: Told how far it is while rows are read.

    Raises:
        DataError: The rows are malformed, too few to split, or were changed since the facts were made.
    """
    definition = source.definition
    rows = _canonical_rows(source, facts, cache, progress or (lambda *_: None))
    labels = {
        split: part.labels(definition.problem_type, len(definition.labels)) for split, part in rows.items()
    }
    cut = split_rows(source.task, definition, labels["train"])
    splits = {name: _split(name, definition, rows, labels, cut) for name in SPLITS}
    return TaskRows(facts, definition, source, splits)


def rows_folder(facts: TaskFacts) -> str:
    """Return the folder of a task's canonical rows, relative to any machine's cache.

    Args:
        facts: What is known of the task; its content digest decides.
    """
    return f"rows/{key_of('rows', ROWS_VERSION, {'content': facts.content_digest})}"


def train_texts(library: TaskLibrary, task: str, *, limit: int | None = None) -> TrainTexts:
    """Return the texts a task trains on, for combiners that compare tasks by what they say.

    Args:
        library: Where the rows of tasks are.
        task: Full name.
        limit: Only the first so many rows of the shuffled training split; ``None``: all.

    Raises:
        NotFoundError: The task is unknown, or its files are not there.
        DataError: Its data is malformed, or too little to split.
    """
    train = load_rows(library, task).splits["train"]
    return TrainTexts(train.rows, train.indices[:limit].tolist())


def label_name(definition: TaskDefinition, label: Any) -> str:
    """Return a row's label as people call it; of a multi-label row all that it has, ``"–"`` for none."""
    if definition.problem_type is ProblemType.REGRESSION:
        return f"{float(label):g}"
    if definition.problem_type is ProblemType.MULTI_LABEL:
        names = [definition.labels[index] for index, has in enumerate(label) if has]
        return ", ".join(names) or "–"
    return definition.labels[int(label)]


def _split(
    name: str,
    definition: TaskDefinition,
    rows: Mapping[str, ArrowRows],
    labels: Mapping[str, NDArray[Any]],
    cut: Mapping[str, NDArray[np.int64]],
) -> SplitRows:
    import numpy as np

    file = name if name in rows else "train"
    if definition.splits is Splits.SHARED and name == "validation":
        file = "test"
    indices = cut[name] if name in cut else np.arange(len(rows[file]), dtype=np.int64)
    return SplitRows(name, rows[file], indices, labels[file][indices], file)


def _canonical_rows(source: RowSource, facts: TaskFacts, cache: Path, tell: Progress) -> dict[str, ArrowRows]:
    """Return a task's canonical rows, by the splits that have rows of their own."""
    definition = source.definition
    total = sum(rows or 0 for rows in (facts.n_train, facts.n_validation, facts.n_test))

    def read(folder: Path) -> dict[str, ArrowRows]:
        counts = json.loads((folder / "counts.json").read_bytes())
        rows = {split: ArrowRows(folder / f"{split}.arrow") for split in source.splits}
        if {split: len(part) for split, part in rows.items()} != counts:
            raise ValueError(f"{folder}: not as long as it was")
        return rows

    def build(draft: Path) -> None:
        if not source.files and source.suite is None:
            raise MissingDataError(
                f"{source.task}: the rows that were handed to this machine are gone from {cache}",
                remedy="Submit again: they are handed over anew.",
            )
        digest = ContentDigest(definition)
        counts: dict[str, int] = {}
        for split in source.splits:
            passing = _count(digest.note_each(source.rows(split)), sum(counts.values()), total, tell)
            counts[split] = write_rows(draft / f"{split}.arrow", passing, definition.problem_type)
        if digest.hexdigest() != facts.content_digest:
            raise DataError(
                f"{source.task}: its files were changed while they were read",
                remedy="Submit again when they stay as they are.",
            )
        (draft / "counts.json").write_text(json.dumps(counts))

    return read_or_build(cache / rows_folder(facts), read, build)


def _count(rows: Iterator[Any], before: int, total: int, tell: Progress) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number % 4096 == 0:
            tell("reading", before + number, total)
        yield row
