"""Columns that lie once in a file beside a split's own: a paragraph that many questions share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.data.formats import Fault, records
from adapterlab.errors import DataError
from adapterlab.registry.protocols import Join, TaskDefinition


@dataclass(frozen=True)
class Joined:
    """The files beside one split, by what rows name their lines."""

    parts: tuple[tuple[Join, Path, Mapping[Any, Mapping[str, Any]]], ...]

    @classmethod
    def beside(cls, path: Path, definition: TaskDefinition) -> Joined | None:
        """Read the files that belong to a split's; ``None`` if there are none.

        Raises:
            DataError: One of them cannot be read.
        """
        found = [(join, file) for join, file in joined_files(path, definition) if file.is_file()]
        return cls(tuple((join, file, _by_key(join, file)) for join, file in found)) if found else None

    def filled(self, record: Any) -> Any:
        """Return a record with the columns it lacks.

        Raises:
            Fault: It names a line that is not there.
        """
        if not isinstance(record, Mapping):
            return record
        for join, file, lines in self.parts:
            key: Any = record
            for part in join.on.split("."):
                key = key.get(part) if isinstance(key, Mapping) else None
            if not isinstance(key, str | int) or key not in lines:
                raise Fault(f"{join.on} is {key!r}, which no line of {file.name} has as {join.key!r}")
            record = {**lines[key], **record}
        return record


def joined_files(path: Path, definition: TaskDefinition) -> list[tuple[Join, Path]]:
    """Return where the files beside a split's would be."""
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
