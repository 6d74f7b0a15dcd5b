"""Everything that is wrong with a task's rows, file by file: what is to be mended in a file, and what in the spec."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapterlab.data.file_records import hub_records
from adapterlab.data.formats import Fault
from adapterlab.data.row_reading import check_train_labels
from adapterlab.data.row_source import RowSource
from adapterlab.data.splits import check_cuts
from adapterlab.data.task_facts import check_metrics
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import AdapterlabError, DataError, NotFoundError
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import template_columns
from adapterlab.spec.tasks import TaskSpec

_FIRST = 100
"""Records of a file that are asked which columns it has; of JSON lines each may have others."""

Key = Literal["train", "validation", "test", "folder", "text", "choices", "label", "id", "metrics"]
_FILES: tuple[Key, ...] = ("train", "validation", "test")
_ONE_FILE: Mapping[str, Any] = {"validation": None, "test": None, "splits": "cut"}
"""What makes a task of one file of it."""


@dataclass(frozen=True)
class TaskFault:
    """One thing that is wrong with a task."""

    message: str
    key: Key | None = None
    """Key of its ``[[task]]`` that is to be mended; ``None``: the file is."""
    file: str | None = None
    """The file, where one of its lines or the whole of it is at fault."""
    line: int | None = None
    """Counted from 1; ``None``: the whole file, or a row that no line shows."""
    hint: str | None = None


def missing_files(library: TaskLibrary, own: TaskSpec) -> list[TaskFault]:
    """Return what is wrong with the files that a spec's own task names; no row is read."""
    if own.hub is not None:
        return []
    try:
        library.row_source(own.name)
    except (NotFoundError, DataError) as error:
        first = error
    else:
        return []
    found: list[TaskFault] = []
    for key in _FILES:
        if (name := own.files.get(key)) is None:
            continue
        try:
            _with(library, own.model_copy(update={**_ONE_FILE, "train": name})).row_source(own.name)
        except (NotFoundError, DataError) as error:
            found.append(_of_spec(own, error, key))
    return found or [_of_spec(own, first, "folder" if own.folder is not None else "train")]


def task_faults(library: TaskLibrary, task: str) -> list[TaskFault]:
    """Read all rows of a task that are at hand and return everything that is wrong with them.

    Args:
        library: Where the rows of tasks are.
        task: Full name, ``<benchmark>/<task>``.

    Raises:
        NotFoundError: Its rows are not at hand.
    """
    source, own = library.row_source(task), library.own_tasks.get(task)
    if own is not None and source.split_files is not None:
        absent = [fault for path in _paths(source) for fault in _absent_columns(path, source, own)]
        if absent:
            return list({(fault.key, fault.message): fault for fault in absent}.values())
    try:
        known = source.with_labels_of_train()
    except DataError as error:
        key: Key = "choices" if source.definition.choices else "label"
        return _of_error(error, source, "train", key if _has_records(source) else None)
    found: list[TaskFault] = []
    for split in known.splits:
        try:
            _read(known, split)
        except DataError as error:
            found += _of_error(error, known, split)
    try:
        check_metrics(task, known.definition)
    except DataError as error:
        found.append(TaskFault(error.message, "metrics", hint=error.remedy))
    return found


def _read(source: RowSource, split: str) -> None:
    labels: Counter[Any] = Counter()
    rows = 0
    counted = source.definition.problem_type is not ProblemType.REGRESSION  # whose labels are all others
    for row in source.rows(split):
        rows += 1
        if counted:
            labels[row.label] += 1
    if split == "train":
        check_train_labels(source.where(split), labels, source.definition)
        check_cuts(source.where(split), source.definition, labels, rows)


def _of_error(error: DataError, source: RowSource, split: str, key: Key | None = None) -> list[TaskFault]:
    """Return each row of an error of many, or the one thing it says."""
    rows = error.details.get("faults")
    if isinstance(rows, list):
        return [
            TaskFault(str(one["fault"]) if "line" in one else f"row {one.get('row')}: {one['fault']}",
                      file=str(one["where"]), line=one.get("line"))
            for one in rows
        ]  # fmt: skip
    where = source.where(split)
    at = re.match(rf"{re.escape(where)}(?::(\d+))?: ", error.message)
    message = error.message if at is None else error.message[at.end() :]
    if key is not None:
        return [TaskFault(f"{where}: {message}", key, hint=error.remedy)]
    line = None if at is None or at[1] is None else int(at[1])
    return [TaskFault(message, file=where, line=line, hint=error.remedy)]


def _has_records(source: RowSource) -> bool:
    """Return whether the files of the train split can be read and hold any row: else no key of a spec is at fault."""
    if source.split_files is None:
        return True
    try:
        return all(
            sum(not isinstance(record, Fault) for _, record in _records(path, source)) > 0
            for path in source.split_files.of("train")
        )
    except DataError:
        return False


def _records(path: Path, source: RowSource) -> Iterator[tuple[int, Any]]:
    return hub_records(path, source.definition, quotes=source.options.quotes)


def _absent_columns(path: Path, source: RowSource, own: TaskSpec) -> Iterator[TaskFault]:
    records = itertools.islice(_records(path, source), _FIRST)
    try:
        seen = [record for _, record in records if isinstance(record, Mapping)]
    except DataError:  # not even its header can be read, which reading its rows tells
        return
    columns = list(dict.fromkeys(str(column) for record in seen for column in record))
    if not columns:
        return
    for key, column in _columns(own):
        if column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(columns[:12])}"
            yield TaskFault(f"{path} has no column {column!r}", key, hint=hint)


def _columns(own: TaskSpec) -> Iterator[tuple[Key, str]]:
    """Yield the columns that a task names, with the key that names each."""
    templates: tuple[tuple[Key, tuple[str, ...]], ...] = (("text", own.text), ("choices", own.choices))
    for key, named in templates:
        for template in named:
            for column in template_columns(template):
                yield key, column.split(".")[0] if len(own.choices) == 1 and key == "choices" else column
    for column in (own.label,) if isinstance(own.label, str) else own.label:
        yield "label", column
    if own.id is not None:
        yield "id", own.id


def _paths(source: RowSource) -> tuple[Path, ...]:
    assert source.split_files is not None
    return tuple(path for split in source.splits for path in source.split_files.of(split))


def _with(library: TaskLibrary, own: TaskSpec) -> TaskLibrary:
    return TaskLibrary(
        library.cache, library.root, library.hub, library.revisions, {own.name: own}, library.own_folder
    )


def _of_spec(own: TaskSpec, error: AdapterlabError, key: Key) -> TaskFault:
    remedy = "correct the path; it starts from the spec" if isinstance(error, NotFoundError) else error.remedy
    return TaskFault(error.message.removeprefix(f"{own.name}: "), key, hint=remedy)
