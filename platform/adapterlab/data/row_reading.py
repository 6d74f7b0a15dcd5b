"""Records to canonical rows: what a task reads of each, checked; every fault named by file and line.

A canonical row is the same whatever its file was: texts as the model will see them, a class's id or
a number, the group and the extras. :func:`canonical_line` is what content digests are made of.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from adapterlab.data.columns import RowMaker, names
from adapterlab.data.file_records import SideTables, hub_records
from adapterlab.data.formats import Fault, Quotes, Record, class_names, counting_unit, format_of
from adapterlab.errors import DataError
from adapterlab.fingerprint import Json
from adapterlab.records import ProblemType
from adapterlab.registry.plugins import TaskSuite
from adapterlab.registry.task_definitions import TaskDefinition

_SHOWN_FAULTS = 5
_KEPT_FAULTS = 100
_MAX_FAULTS = 10_000
"""After so many bad rows the rest of a file is not read: it is another kind of file."""

_T = TypeVar("_T")
Label = int | float | tuple[int, ...]


class Row(NamedTuple):
    """One example, the same whatever file it came from."""

    sequences: tuple[tuple[str, ...], ...]
    """One sequence, or one a choice; each of one or two texts."""
    label: Label
    """Class id or right choice, regression target, or sorted ids of a multi-label row."""
    group: int | None = None
    """Number of its group in order of appearance."""
    extras: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class ReadOptions:
    """How a person says their files are written; the defaults are those of suites."""

    by_name: bool = False
    """A label, whatever its type, is a class's name before it is an id."""
    separator: str | None = None
    """What stands between the labels of a multi-label cell of text."""
    quotes: Quotes = "auto"
    first_choice: int = 0
    """The number of the first choice, for choices without names."""
    id_column: str | None = None
    """Column no two rows may agree in; ``None``: two *different* rows may not in ``idx``."""


def file_rows(path: Path, definition: TaskDefinition, options: ReadOptions) -> Iterator[Row]:
    """Yield the rows of one file; those before a :class:`DataError` are worth nothing.

    Raises:
        DataError: The file or some of its rows cannot be read, or its labels are no split's.
    """
    numbered = hub_records(path, definition, quotes=options.quotes)
    tables = SideTables.beside(path, definition)
    yield from _read(_Where.file(path, definition), numbered, definition, options, tables)


def files_rows(paths: Iterable[Path], definition: TaskDefinition, options: ReadOptions) -> Iterator[Row]:
    """Yield the rows of a split that is in several files (shards), as one."""
    faced = list(paths)
    if len(faced) == 1:
        yield from file_rows(faced[0], definition, options)
        return
    totals = _Totals(definition)
    for path in faced:
        numbered = hub_records(path, definition, quotes=options.quotes)
        tables, where = SideTables.beside(path, definition), _Where.file(path, definition)
        yield from _read(where, numbered, definition, options, tables, totals)
    totals.check(f"{faced[0].parent}: {len(faced)} files")


def suite_rows(suite: TaskSuite, definition: TaskDefinition, split: str) -> Iterator[Row]:
    """Yield the rows of a split a suite makes itself."""
    where = _Where(f"{suite.name}/{definition.name}, {split}", "line")
    numbered = enumerate(suite.rows(definition.name, split), start=1)
    yield from _read(where, numbered, definition, ReadOptions(), None)


def canonical_line(row: Row) -> str:
    """Return a row as content digests hold it: canonical JSON of its parts, the label after the texts."""
    texts: tuple[Any, ...] = row.sequences[0] if len(row.sequences) == 1 else row.sequences
    parts: list[Any] = [*texts, row.label]
    if row.group is not None or row.extras is not None:
        parts += [row.group, None if row.extras is None else dict(sorted(row.extras.items()))]
    # canonical_json's form, without its walk over every value: rows are checked already
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _looked_at(
    path: Path,
    definition: TaskDefinition,
    options: ReadOptions,
    look: Callable[[RowMaker, Mapping[str, Any]], _T],
) -> Iterator[_T]:
    """Yield what is seen of each row of a file whose labels are not known yet; rows that cannot be read are passed over."""
    classes = class_names(path, definition.label)
    maker = RowMaker(definition, by_name=True, separator=options.separator, classes=classes)
    tables = SideTables.beside(path, definition)
    refused = 0
    for _, record in hub_records(path, definition, quotes=options.quotes):
        try:
            if not isinstance(record, Fault):
                for one in maker.rows_in(record if tables is None else tables.join(record)):
                    yield look(maker, one)
        except Fault:
            refused += 1
            if refused == _MAX_FAULTS:
                break


def label_names(path: Path, definition: TaskDefinition, options: ReadOptions) -> Counter[str]:
    """Return the labels that occur in a file, by name; rows that cannot be read are passed over.

    Raises:
        DataError: The file cannot be read.
    """
    found: Counter[str] = Counter()
    for of_row in _looked_at(path, definition, options, RowMaker.label_names):
        found.update(of_row)
    return found


def number_of_choices(path: Path, definition: TaskDefinition, options: ReadOptions) -> int | None:
    """Return how many choices the first row of a file lists that lists any; ``None``: none does.

    Raises:
        DataError: The file cannot be read.
    """
    choices = next(_looked_at(path, definition, options, RowMaker.choices_in), None)
    return None if choices is None else len(choices)


def check_train_labels(where: str, labels: Iterable[Any], definition: TaskDefinition) -> None:
    """Check that every class of a task occurs in the rows to train on.

    A multi-label task may know labels that train never shows: its official lists do.

    Raises:
        DataError: A class never occurs.
    """
    if definition.problem_type is ProblemType.CLASSIFICATION:
        seen = set(labels)
        absent = [name for index, name in enumerate(definition.labels) if index not in seen]
        if absent:
            raise DataError(
                f"{where}: no row has the label {names(absent)}",
                remedy="A class that is never shown cannot be learned: add rows of it.",
            )


class _Where(NamedTuple):
    name: str
    counted: Literal["line", "row"]
    cells: bool = False
    """Whether its values are cells of a delimited file, which are all text."""
    classes: tuple[str, ...] = ()
    """What the file calls the ids of its label column."""

    @classmethod
    def file(cls, path: Path, definition: TaskDefinition) -> _Where:
        cells = format_of(path) in (".csv", ".tsv")
        return cls(str(path), counting_unit(path), cells, class_names(path, definition.label))

    def of(self, number: int) -> str:
        return f"{self.name}:{number}" if self.counted == "line" else f"{self.name}, row {number}"


@dataclass
class _Totals:
    """What is known of a split at its end."""

    definition: TaskDefinition
    rows: int = 0
    labels: set[Any] = field(default_factory=set)
    groups: dict[str, int] = field(default_factory=dict)

    def check(self, where: str) -> None:
        """Refuse a split without rows, or with one class only."""
        if not self.rows:
            raise DataError(f"{where}: no rows", remedy="Every split needs rows; is the file whole?")
        if self.definition.problem_type is ProblemType.CLASSIFICATION and len(self.labels) == 1:
            only = self.definition.labels[next(iter(self.labels))]
            raise DataError(
                f"{where}: every row has the label {only!r}, expected at least two classes",
                remedy="Is the file sorted by class and cut off?",
            )


def _read(
    where: _Where,
    numbered: Iterable[tuple[int, Record]],
    definition: TaskDefinition,
    options: ReadOptions,
    tables: SideTables | None,
    totals: _Totals | None = None,
) -> Iterator[Row]:
    maker = RowMaker(
        definition,
        by_name=options.by_name,
        separator=options.separator,
        cells=where.cells,
        classes=where.classes,
    )
    seen = _Identities(options.id_column, where.counted)
    mine = totals or _Totals(definition)
    faults: list[tuple[int, str]] = []
    refused = 0
    for number, record in numbered:
        try:
            if isinstance(record, Fault):
                raise record
            seen.note(number, record)
            for one in maker.rows_in(record if tables is None else tables.join(record)):
                row = _row(maker, one, mine)
                mine.rows += 1
                yield row
        except Fault as fault:
            refused += 1
            if len(faults) < _KEPT_FAULTS:
                faults.append((number, str(fault)))
            if refused == _MAX_FAULTS:
                break
    if not refused:
        faults = seen.faults()
        refused = len(faults)
    if refused:
        shown = "\n".join(f"{where.of(number)}: {what}" for number, what in faults[:_SHOWN_FAULTS])
        more = refused - _SHOWN_FAULTS
        at_least = "at least " if refused == _MAX_FAULTS else ""
        raise DataError(
            shown + (f"\n… and {at_least}{more} more rows" if more > 0 else ""),
            remedy="Correct or remove these rows.",
            faults=[
                {"where": where.name, where.counted: number, "fault": what}
                for number, what in faults[:_KEPT_FAULTS]
            ],
        )
    if totals is None:
        mine.check(where.name)


def _row(maker: RowMaker, record: Mapping[str, Any], totals: _Totals) -> Row:
    sequences, label = maker.sequences(record), maker.label(record)
    if maker.definition.problem_type is ProblemType.CLASSIFICATION:
        totals.labels.add(label)
    group = maker.group(record)
    number = None if group is None else totals.groups.setdefault(group, len(totals.groups))
    return Row(sequences, label, number, maker.extras(record))


class _Identities:
    """Finds rows that claim the same id, in 24 bytes a row."""

    def __init__(self, column: str | None, counted: str) -> None:
        self._column, self._counted = column, counted
        self._numbers, self._ids, self._contents = array("q"), array("q"), array("q")
        self._rises = True

    def note(self, number: int, record: Any) -> None:
        """Take note of a row.

        Raises:
            Fault: It lacks the id that was promised.
        """
        if not isinstance(record, Mapping):
            return
        value = record.get(self._column or "idx")
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            if self._column is not None:
                raise Fault(f"column {self._column!r} holds no id, expected a whole number or text")
            return
        key = hash(value)
        self._rises = self._rises and (not self._ids or self._ids[-1] < key)
        self._numbers.append(number)
        self._ids.append(key)
        # hashes of this process only: cheaper than keeping the rows
        self._contents.append(
            0 if self._column else hash(repr(sorted(record.items(), key=lambda item: item[0])))
        )

    def faults(self) -> list[tuple[int, str]]:
        """Return the rows whose id an earlier row has; without a named column, if the two differ."""
        if self._rises:
            return []
        first: dict[int, int] = {}
        found = []
        for index, key in enumerate(self._ids):
            before = first.setdefault(key, index)
            if before != index and (self._column or self._contents[index] != self._contents[before]):
                other = self._numbers[before]
                what = f"the same {self._column or 'idx'} as {self._counted} {other}"
                found.append((self._numbers[index], what + ("" if self._column else ", but another row")))
        return found
