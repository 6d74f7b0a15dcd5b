"""What is known of a task before it is tokenised: how it is scored, its rows' digest, their number.

The digest is over the canonical rows, the used columns only, so that the same data in another
place, order of columns or format has the same key. It is kept by the files' identity: a second
``plan`` reads no data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapterlab.caching.file_digests import remembered
from adapterlab.data.content_digest import ContentDigest
from adapterlab.data.row_reading import check_train_labels
from adapterlab.data.row_sources import DataPlaces, TaskSource, definition_of, task_source
from adapterlab.data.split_files import MissingDataError
from adapterlab.data.splits import split_counts
from adapterlab.records import ProblemType, TaskFacts
from adapterlab.registry.protocols import TaskDefinition

READER_VERSION = 2
"""Raise it when rows are read differently: kept digests are computed anew."""


def task_facts(
    task: str,
    *,
    root: Path | None,
    cache: Path,
    places: DataPlaces | None = None,
    download: bool = False,
) -> TaskFacts:
    """Return what is known of a task; with a digest if its data is at hand.

    Args:
        task: Full name, ``<benchmark>/<task>``.
        root: Folder of real tasks; ``None`` if the spec names none.
        cache: Folder of this machine's caches.
        places: Where else rows are: the hub, and the spec's own tasks.
        download: Fetch a hub's rows that are not on this machine.

    Raises:
        NotFoundError: No installed suite has the task, or the hub has not what it names.
        UnavailableError: The hub cannot be reached.
        DataError: Its data is there, but malformed.
    """
    try:
        source = task_source(task, root=root, cache=cache, places=places, download=download)
    except MissingDataError as missing:
        return _facts(task, definition_of(task, places), {}, missing.message)
    kept = remembered(cache, "task", source.files, _settings(source), _computed(source))
    labels = tuple(kept.get("labels", source.definition.labels))
    return _facts(task, replace(source.definition, labels=labels), kept, None)


def with_labels(source: TaskSource) -> TaskSource:
    """Return a source whose definition has its labels: those that train shows, where none are said.

    Raises:
        DataError: Train shows none, or cannot be read.
    """
    definition = source.definition
    unlabelled = definition.problem_type in (ProblemType.CLASSIFICATION, ProblemType.MULTI_LABEL)
    if definition.labels or not unlabelled:
        return source
    return replace(source, definition=replace(definition, labels=source.shown_labels()))


def _settings(source: TaskSource) -> list[Any]:
    definition = source.definition
    return [
        READER_VERSION,
        source.task,
        source.version,
        *(list(definition.text), list(definition.choices), definition.label, list(definition.labels)),
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


def _computed(source: TaskSource) -> Callable[[], dict[str, Any]]:
    def compute() -> dict[str, Any]:
        known = with_labels(source)
        digest = ContentDigest(known.definition)
        for split in known.splits:
            labels: set[Any] = set()
            for row in digest.noting(known.rows(split)):
                labels.add(row.label)
            if split == "train":
                check_train_labels(known.where("train"), labels, known.definition)
        return {"digest": digest.hexdigest(), "rows": digest.counts, "labels": list(known.definition.labels)}

    return compute


def _facts(
    task: str, definition: TaskDefinition, kept: dict[str, Any], pending_reason: str | None
) -> TaskFacts:
    single = definition.problem_type in (ProblemType.REGRESSION, ProblemType.MULTIPLE_CHOICE)
    train, validation, test = split_counts(definition.splits, kept["rows"]) if kept else (None, None, None)
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
        pending_reason=pending_reason,
        choices=max(1, len(definition.choices)),
        max_length=definition.max_length,
        overlaps=definition.overlaps,
        head=definition.head,
    )
