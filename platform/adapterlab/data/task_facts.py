"""What is known of a task before it is tokenised: how it is scored, its rows' digest, their number.

The digest is the sha256 over the canonical rows, the used columns only, so that the same data in another
place, order of columns or format has the same key. It is kept by the files' identity: a second
``plan`` reads no data.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from adapterlab.caching.file_digests import recall_or_compute
from adapterlab.data.row_reading import Row, canonical_line, check_train_labels
from adapterlab.data.row_source import RowSource
from adapterlab.data.split_files import MissingDataError
from adapterlab.data.splits import check_cuts, split_counts, split_rule
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError
from adapterlab.fingerprint import Json, canonical_json
from adapterlab.records import ProblemType, TaskFacts
from adapterlab.registry.task_definitions import TaskDefinition

READER_VERSION = 4
"""Raise it when rows are read differently: kept digests are computed anew."""
DIGEST_VERSION = 1
"""Part of every content digest: raise it when the canonical rows change."""
_IN_MEMORY = 1 << 24
_CHUNK = 1 << 20


def task_facts(library: TaskLibrary, task: str, *, download: bool = False) -> TaskFacts:
    """Return what is known of a task; with a digest if its data is at hand.

    Args:
        library: Where the rows of tasks are.
        task: Full name, ``<benchmark>/<task>``.
        download: Fetch a hub's rows that are not on this machine.

    Raises:
        NotFoundError: No installed suite has the task, or the hub has not what it names.
        UnavailableError: The hub cannot be reached.
        DataError: Its data is there, but malformed.
    """
    if task in library.known:
        return library.known[task]
    try:
        source = library.row_source(task, download=download)
    except MissingDataError as missing:
        return _facts(task, library.definition(task), {}, missing.message)
    return _facts_of(source, library)


def source_and_facts(library: TaskLibrary, task: str) -> tuple[RowSource, TaskFacts]:
    """Return where a task's rows are, its labels known, and what is known of it.

    Args:
        library: Where the rows of tasks are.
        task: Full name, ``<benchmark>/<task>``.

    Raises:
        NotFoundError: The task is unknown, or its files are not there.
        DataError: Its data is malformed.
    """
    facts = library.known.get(task)
    if facts is not None:
        return RowSource(task, library.definition(task), None, None, ()).with_labels(facts.labels), facts
    source = library.row_source(task)
    facts = _facts_of(source, library)
    return source.with_labels(facts.labels), facts


class ContentDigest:
    """Notes rows while they pass by, split after split, and gives the digest at the end.

    The digest begins with the number of rows, which are known last; so the lines wait in a temporary
    file, and memory does not grow with them.
    """

    def __init__(self, definition: TaskDefinition) -> None:
        self._definition = definition
        self._lines = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the digest
        self.counts: list[int] = []
        """Rows of each split so far."""

    def note_each(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows of the next split, each noted."""
        self.counts.append(0)
        for row in rows:
            self.counts[-1] += 1
            self._lines.write(b"\n" + canonical_line(row).encode())
            yield row

    def hexdigest(self) -> str:
        """Return the digest, 64 hexadecimal digits; nothing can be noted afterwards."""
        definition = self._definition
        head: dict[str, Json] = {
            "format": DIGEST_VERSION,
            "labels": list(definition.labels),
            "split": split_rule(definition.stratify, definition.splits),
            "rows": list(self.counts),
        }
        if definition.truncate != "longest_first":  # it decides what is left of the rows
            head["truncate"] = definition.truncate
        digest = hashlib.sha256(canonical_json(head).encode())
        self._lines.seek(0)
        while chunk := self._lines.read(_CHUNK):
            digest.update(chunk)
        self._lines.close()
        return digest.hexdigest()


def _facts_of(source: RowSource, library: TaskLibrary) -> TaskFacts:
    kept = recall_or_compute(
        library.cache, "task", source.files, _settings(source), _count_and_digest(source)
    )
    labels = tuple(kept.get("labels", source.definition.labels))
    return _facts(source.task, replace(source.definition, labels=labels), kept, None)


def check_metrics(task: str, definition: TaskDefinition) -> None:
    """Check that a task's metrics are defined for so many classes.

    Raises:
        DataError: ``f1``, which is the second class's, of a task with more than two.
    """
    classes = definition.labels if definition.problem_type is ProblemType.CLASSIFICATION else ()
    if "f1" in definition.metrics and len(classes) > 2:
        raise DataError(
            f"{task}: the metric f1 is that of the second of two classes, but it has {len(classes)}",
            remedy="Say f1_macro, the mean over the classes, or f1_micro.",
        )


def _settings(source: RowSource) -> list[Any]:
    definition = source.definition
    return [
        READER_VERSION,
        source.task,
        source.version,
        *(list(definition.text), list(definition.choices), definition.label, list(definition.labels)),
        *(list(definition.label_columns), source.options.first_choice),
        *(str(definition.problem_type), definition.stratify, str(definition.splits), definition.truncate),
        *(definition.groups, list(definition.extras), definition.allow_empty),
        *(
            [
                source.options.by_name,
                source.options.separator,
                source.options.quotes,
                source.options.id_column,
            ]
        ),
    ]


def _count_and_digest(source: RowSource) -> Callable[[], dict[str, Any]]:
    def compute() -> dict[str, Any]:
        known = source.with_labels_of_train()
        digest = ContentDigest(known.definition)
        for split in known.splits:
            labels: Counter[Any] = Counter()
            counted = (
                known.definition.problem_type is not ProblemType.REGRESSION
            )  # whose labels are all others
            for row in digest.note_each(known.rows(split)):
                if counted:
                    labels[row.label] += 1
            if split == "train":
                where = known.where("train")
                check_train_labels(where, labels, known.definition)
                check_cuts(where, known.definition, labels, digest.counts[-1])
        return {"digest": digest.hexdigest(), "rows": digest.counts, "labels": list(known.definition.labels)}

    return compute


def _facts(
    task: str, definition: TaskDefinition, kept: dict[str, Any], pending_reason: str | None
) -> TaskFacts:
    check_metrics(task, definition)
    single = definition.problem_type in (ProblemType.REGRESSION, ProblemType.MULTIPLE_CHOICE)
    train, validation, test = split_counts(definition.splits, kept["rows"]) if kept else (None, None, None)
    published = definition.published_rows
    return TaskFacts(
        task=task,
        problem_type=definition.problem_type,
        n_labels=1 if single else len(definition.labels),
        labels=definition.labels,
        metrics=definition.metrics,
        content_digest=kept.get("digest"),
        n_train=train,
        n_validation=validation,
        n_test=test,
        published_train=split_counts(definition.splits, published)[0] if published else None,
        pending_reason=pending_reason,
        choices=max(2, len(definition.labels)) if definition.choices else 1,
        max_length=definition.max_length,
        overlaps=definition.overlaps,
        head=definition.head,
    )
