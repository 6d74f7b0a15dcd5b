"""Records in a task's original form become records with the hub's columns; others stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from adapterlab.data.columns import guarded
from adapterlab.data.formats import Fault, Quotes, Record, first_cells, format_of, records
from adapterlab.registry.protocols import Original, TaskDefinition


def original_records(
    path: Path, definition: TaskDefinition, *, quotes: Quotes
) -> Iterator[tuple[int, Record]]:
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
                for one in guarded(original.convert, record, definition.name):
                    yield number, one
            except Fault as fault:
                yield number, fault
        else:
            yield number, record


def _applies(original: Original, record: Mapping[str, object]) -> bool:
    if original.applies is not None:
        return original.applies(record)
    return bool(original.marks) and all(mark in record for mark in original.marks)
