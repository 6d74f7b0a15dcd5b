"""One file's records with the columns a task reads.

Records in a task's original form become records with the hub's columns; others stay as they are. Columns that
lie once in a side file (a paragraph that many questions share) are joined to the records that name its lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.data.columns import run_converter
from adapterlab.data.formats import Fault, Quotes, Record, first_cells, format_of, records
from adapterlab.errors import DataError
from adapterlab.registry.task_definitions import Join, Original, TaskDefinition


def hub_records(path: Path, definition: TaskDefinition, *, quotes: Quotes) -> Iterator[tuple[int, Record]]:
    """Yield a file's records with the hub's columns; several may share a number.

    Raises:
        DataError: The file cannot be read.
    """
    original = definition.original
    if original is None:
        yield from records(path, quotes=quotes)
        return
    header: tuple[str, ...] | None = None
    lenient = False
    if format_of(path) == ".tsv":
        first = first_cells(path)
        if original.header and len(first) == len(original.header) and definition.label not in first:
            header, quotes, lenient = original.header, "none", original.lenient
        elif original.marks and set(original.marks) <= set(first):
            quotes, lenient = "none", original.lenient
    for number, record in records(path, quotes=quotes, header=header, lenient=lenient):
        if isinstance(record, Mapping) and original.convert is not None and _applies(original, record):
            try:
                for one in run_converter(original.convert, record, definition.name):
                    yield number, one
            except Fault as fault:
                yield number, fault
        else:
            yield number, record


def _applies(original: Original, record: Mapping[str, object]) -> bool:
    if original.applies is not None:
        return original.applies(record)
    return bool(original.marks) and all(mark in record for mark in original.marks)


@dataclass(frozen=True)
class SideTables:
    """The side files of one split, by what rows name their lines."""

    tables: tuple[tuple[Join, Path, Mapping[Any, Mapping[str, Any]]], ...]

    @classmethod
    def beside(cls, path: Path, definition: TaskDefinition) -> SideTables | None:
        """Read the files that belong to a split's; ``None`` if there are none.

        Raises:
            DataError: One of them cannot be read.
        """
        found = [(join, file) for join, file in side_files(path, definition) if file.is_file()]
        return cls(tuple((join, file, _by_key(join, file)) for join, file in found)) if found else None

    def join(self, record: Any) -> Any:
        """Return a record with the columns it lacks.

        Raises:
            Fault: It names a line that is not there.
        """
        if not isinstance(record, Mapping):
            return record
        for join, file, lines in self.tables:
            key: Any = record
            for part in join.on.split("."):
                key = key.get(part) if isinstance(key, Mapping) else None
            if not isinstance(key, str | int) or key not in lines:
                raise Fault(f"{join.on} is {key!r}, which no line of {file.name} has as {join.key!r}")
            record = {**lines[key], **record}
        return record


def side_files(path: Path, definition: TaskDefinition) -> list[tuple[Join, Path]]:
    """Return where the side files of a split's file would be."""
    stem = path.name.split(".")[0]
    return [(join, path.with_name(f"{stem}.{join.name}.jsonl")) for join in definition.joins]


def _by_key(join: Join, file: Path) -> dict[Any, Mapping[str, Any]]:
    lines: dict[Any, Mapping[str, Any]] = {}
    for number, record in records(file):
        if isinstance(record, Fault):
            raise DataError(f"{file}:{number}: {record}", remedy="Correct this line.")
        if not isinstance(record, Mapping) or not isinstance(record.get(join.key), str | int):
            raise DataError(f"{file}:{number}: no {join.key!r}, which rows name it by")
        if record[join.key] in lines:
            raise DataError(f"{file}:{number}: {join.key} {record[join.key]!r} is there twice")
        lines[record[join.key]] = record
    return lines
