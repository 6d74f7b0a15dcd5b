"""What is known of a task before it is tokenised: how it is scored, its rows' digest, their number.

The digest is over the canonical rows, the used columns only, so that the same data in another
place, order of columns or format has the same key. It is kept by the files' identity: a second
``plan`` reads no data.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.data.memo import remembered
from adapterlab.data.read import Rows, check_train_labels, read_file, read_generated, task_files
from adapterlab.data.split import split_rule, validation_rows
from adapterlab.errors import NotFoundError
from adapterlab.fingerprint import Json, canonical_json
from adapterlab.records import ProblemType, TaskFacts
from adapterlab.registry.entry_points import task_definition, task_suite
from adapterlab.registry.protocols import TaskDefinition, TaskSuite

DIGEST_VERSION = 1
"""Part of every content digest: raise it when the canonical rows change."""


@dataclass(frozen=True)
class TaskSource:
    """Where a task's rows are: files that exist, or a suite that generates."""

    task: str
    definition: TaskDefinition
    suite: TaskSuite
    files: tuple[Path, ...]
    """What decides the rows: the train and the test file, or the generator's own modules."""

    def rows(self) -> tuple[Rows, Rows]:
        """Read and check the train and the test rows.

        Raises:
            DataError: A row or a split is not as it must be.
        """
        if self.suite.generates():
            train = read_generated(self.suite, self.definition, "train")
            test = read_generated(self.suite, self.definition, "validation")
            where = f"{self.task}, train"
        else:
            train, test = (read_file(path, self.definition) for path in self.files)
            where = str(self.files[0])
        check_train_labels(where, train.labels, self.definition)
        return train, test


def task_facts(task: str, *, root: Path | None, cache: Path) -> TaskFacts:
    """Return what is known of a task; with a digest if its data is at hand.

    Args:
        task: Full name, ``<benchmark>/<task>``.
        root: Folder of real tasks; ``None`` if the spec names none.
        cache: Folder of this machine's caches.

    Raises:
        NotFoundError: No installed suite has the task.
        DataError: Its data is there, but malformed.
    """
    try:
        source = task_source(task, root=root)
    except MissingDataError as missing:
        return _facts(task, task_definition(task), {}, missing.message)
    kept = remembered(cache, "task", source.files, _settings(source), _digest_of(source))
    return _facts(task, source.definition, kept, None)


def task_source(task: str, *, root: Path | None) -> TaskSource:
    """Return where a task's rows are.

    Raises:
        NotFoundError: No installed suite has the task.
        MissingDataError: Its files are not there.
        DataError: Its files lie outside ``root``.
    """
    definition = task_definition(task)
    suite = task_suite(task.partition("/")[0])
    if suite.generates():
        return TaskSource(task, definition, suite, _generator_files(suite))
    if root is None:
        raise MissingDataError(
            f"{task}: data.root is not set",
            remedy="Name the folder of real tasks: --set data.root=<folder>, or root under [data].",
        )
    files = task_files(root, task)
    for path in files:
        if not path.is_file():
            raise MissingDataError(
                f"{task}: {path} does not exist",
                remedy="Expected <data.root>/<benchmark>/<task>/{train,validation}.jsonl; see docs/guide/data.md.",
            )
    return TaskSource(task, definition, suite, files)


class MissingDataError(NotFoundError):
    """A task is known, but its data is not at hand."""


def _settings(source: TaskSource) -> list[Any]:
    definition = source.definition
    return [
        DIGEST_VERSION,
        source.task,
        source.suite.version,
        *(list(definition.text), definition.label, list(definition.labels)),
        *(str(definition.problem_type), definition.stratify),
    ]


def _digest_of(source: TaskSource) -> Callable[[], dict[str, Any]]:
    def compute() -> dict[str, Any]:
        train, test = source.rows()
        definition = source.definition
        digest = hashlib.sha256()
        head: dict[str, Json] = {
            "format": DIGEST_VERSION,
            "labels": list(definition.labels),
            "split": split_rule(definition.stratify),
            "rows": [len(train), len(test)],
        }
        digest.update(canonical_json(head).encode())
        for rows in (train, test):
            for text, label in zip(rows.texts, rows.labels, strict=True):
                # canonical_json's form, without its walk over every value: rows are checked already
                line = json.dumps([*text, label], ensure_ascii=False, separators=(",", ":"))
                digest.update(b"\n" + line.encode())
        return {"digest": digest.hexdigest(), "train_rows": len(train), "test_rows": len(test)}

    return compute


def _facts(
    task: str, definition: TaskDefinition, kept: dict[str, Any], pending_reason: str | None
) -> TaskFacts:
    regression = definition.problem_type is ProblemType.REGRESSION
    rows = kept.get("train_rows")
    held_out = None if rows is None else validation_rows(rows)
    return TaskFacts(
        task=task,
        problem_type=definition.problem_type,
        n_labels=1 if regression else len(definition.labels),
        labels=definition.labels,
        metrics=definition.metrics,
        content_digest=kept.get("digest"),
        n_train=None if rows is None or held_out is None else rows - held_out,
        n_validation=held_out,
        n_test=kept.get("test_rows"),
        pending_reason=pending_reason,
    )


def _generator_files(suite: TaskSuite) -> tuple[Path, ...]:
    """Return the modules beside the suite's own: editing the generator makes its digests stale."""
    module = inspect.getfile(type(suite))
    return tuple(sorted(Path(module).parent.glob("*.py")))
