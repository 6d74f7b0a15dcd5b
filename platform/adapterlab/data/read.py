"""Rows of a task: JSON lines in a folder, or what a suite generates; checked, every fault named.

A task of a folder is ``<root>/<benchmark>/<task>/train.jsonl`` and ``validation.jsonl``, with the
columns and label ids of the public hubs. As there, the ``validation`` file is the test split;
``validation_matched.jsonl`` (MNLI) is read where there is no ``validation.jsonl``.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.errors import DataError
from adapterlab.records import ProblemType
from adapterlab.registry.protocols import TaskDefinition, TaskSuite

TEST_FILES = ("validation.jsonl", "validation_matched.jsonl")
"""Names the test split's file may have; the first that exists is read."""
MAX_LINE_BYTES = 1 << 26
"""Longest line read, 64 MiB; longer ones are no text rows but a broken file."""
_SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Rows:
    """The used columns of one split."""

    texts: list[tuple[str, ...]]
    """One or two sequences a row."""
    labels: list[int] | list[float]
    """Class ids, or regression targets."""

    def __len__(self) -> int:
        return len(self.labels)


class _RowError(ValueError):
    """What is wrong with one row."""


def task_files(root: Path, task: str) -> tuple[Path, Path]:
    """Return the train and the test file of a task, whether they exist or not.

    Raises:
        DataError: The task's name or a link leads outside ``root``.
    """
    folder = root.joinpath(*task.split("/"))
    test = next((folder / name for name in TEST_FILES if (folder / name).exists()), folder / TEST_FILES[0])
    for path in (folder / "train.jsonl", test):
        if not path.resolve().is_relative_to(root.resolve()):
            raise DataError(
                f"{path}: leads outside data.root, to {path.resolve()}",
                remedy="Copy the files below data.root, or point data.root at the folder that holds them.",
            )
    return folder / "train.jsonl", test


def read_file(path: Path, definition: TaskDefinition) -> Rows:
    """Read one split from a JSON lines file.

    Raises:
        DataError: A line is broken or does not fit the task; the message names file and line.
    """
    return _checked(str(path), _lines(path), definition)


def read_generated(suite: TaskSuite, definition: TaskDefinition, split: str) -> Rows:
    """Read one split of a task the suite makes itself; ``split`` is ``"train"`` or ``"validation"``.

    Raises:
        DataError: The suite yields a row that does not fit its own definition.
    """
    where = f"{suite.name}/{definition.name}, {split}"
    return _checked(where, enumerate(suite.rows(definition.name, split), start=1), definition)


def _checked(where: str, numbered: Iterator[tuple[int, Any]], definition: TaskDefinition) -> Rows:
    texts: list[tuple[str, ...]] = []
    labels: list[Any] = []
    faults: list[tuple[int, str]] = []
    for number, content in numbered:
        try:
            record = _record(content) if isinstance(content, bytes) else content
            text, label = _row(record, definition)
        except _RowError as fault:
            faults.append((number, str(fault)))
            continue
        texts.append(text)
        labels.append(label)
    if faults:
        shown = "\n".join(f"{where}:{number}: {what}" for number, what in faults[:_SHOWN_FAULTS])
        more = len(faults) - _SHOWN_FAULTS
        raise DataError(
            shown + (f"\n… and {more} more rows" if more > 0 else ""),
            remedy="Correct or remove these rows.",
            faults=[{"where": where, "line": number, "fault": what} for number, what in faults[:100]],
        )
    _check_split(where, labels, definition)
    return Rows(texts, labels)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise DataError(
                    f"{path}:{number}: the line is longer than {MAX_LINE_BYTES >> 20} MiB",
                    remedy="JSON lines need one object a line; write the file again.",
                )
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                yield number, line


def _record(line: bytes) -> Any:
    try:
        return json.loads(line.rstrip(b"\r\n").decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _RowError(
            f"not UTF-8: byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
        ) from None
    except json.JSONDecodeError as error:
        cut = "; the line has no end: is the file whole?" if not line.endswith(b"\n") else ""
        raise _RowError(f"broken JSON at column {error.pos + 1}: {error.msg}{cut}") from None
    except RecursionError:
        raise _RowError("broken JSON: nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python converts
        raise _RowError(f"broken JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise _RowError(f"{name} is not a value; expected a finite number or text")


def _row(record: Any, definition: TaskDefinition) -> tuple[tuple[str, ...], int | float]:
    if not isinstance(record, Mapping):
        raise _RowError(
            f"got {_kind(record)}, expected an object with columns {_names(_columns(definition))}"
        )
    for column in _columns(definition):
        if column not in record:
            close = difflib.get_close_matches(column, [str(name) for name in record], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it has {_names(record)}"
            raise _RowError(f"no column {column!r}{hint}")
    texts = tuple(_text(record[column], column) for column in definition.text)
    return texts, _label(record[definition.label], definition)


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise _RowError(f"column {column!r} is {_kind(value)}, expected text")
    if not value.strip():
        raise _RowError(f"column {column!r} is empty, expected text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _RowError(f"column {column!r} holds half of a surrogate pair, which is no text") from None
    return value


def _label(value: Any, definition: TaskDefinition) -> int | float:
    column = definition.label
    if definition.problem_type is ProblemType.REGRESSION:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _RowError(
                f"column {column!r} is {_kind(value)}, expected a number: {definition.name} is a regression"
            )
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise _RowError(f"column {column!r} is not finite, expected a number")
        return number
    if isinstance(value, str) and value in definition.labels:
        return definition.labels.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(definition.labels):
        return value
    known = ", ".join(f"{index} ({name})" for index, name in enumerate(definition.labels))
    hidden = "; -1 stands for a hidden label" if value == -1 and isinstance(value, int) else ""
    shown = repr(value) if isinstance(value, str | int | float) else _kind(value)
    raise _RowError(f"unknown label {shown[:80]} in column {column!r}, expected one of {known}{hidden}")


def _check_split(where: str, labels: list[Any], definition: TaskDefinition) -> None:
    if not labels:
        raise DataError(f"{where}: no rows", remedy="Every split needs rows; is the file whole?")
    if definition.problem_type is ProblemType.CLASSIFICATION and len(set(labels)) == 1:
        raise DataError(
            f"{where}: every row has the label {definition.labels[labels[0]]!r}, expected at least two classes",
            remedy="Is the file sorted by class and cut off?",
        )


def check_train_labels(where: str, labels: list[int] | list[float], definition: TaskDefinition) -> None:
    """Check that every class of a task occurs in the rows to train on.

    Raises:
        DataError: A class never occurs.
    """
    if definition.problem_type is ProblemType.CLASSIFICATION:
        absent = [name for index, name in enumerate(definition.labels) if index not in set(labels)]
        if absent:
            raise DataError(
                f"{where}: no row has the label {_names(absent)}",
                remedy="A class that is never shown cannot be learned: add rows of it.",
            )


def _columns(definition: TaskDefinition) -> tuple[str, ...]:
    return (*definition.text, definition.label)


def _names(names: Any) -> str:
    return ", ".join(repr(str(name)) for name in names) or "none"


def _kind(value: Any) -> str:
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")
