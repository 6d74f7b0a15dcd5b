"""Rows that a person hands to a command: JSON lines, tables and Parquet from files, or standard input."""

from __future__ import annotations

import gzip
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adapterlab.cli.output import is_interactive, stderr
from adapterlab.data.formats import Fault, counting_unit, format_of, json_lines, records
from adapterlab.errors import AdapterlabError, DataError
from adapterlab.given_files import check_regular, given_path

if TYPE_CHECKING:
    from adapterlab.exporting.prediction import NumberedRow


def rows_of(file: str) -> Iterator[NumberedRow]:
    """Return the rows of a file as they are read, each with its file and line; the first is read at once.

    Args:
        file: Its name ends as those of tasks do (``.jsonl``, ``.csv``, ``.tsv``, ``.parquet``, with ``.gz``), else
            it holds JSON lines; ``-``: standard input, JSON lines.

    Raises:
        DataError: The file or a row cannot be read, or there is none.
    """
    rows = _rows(file)
    return itertools.chain([next(rows)], rows)


def _rows(file: str) -> Iterator[NumberedRow]:
    found = False
    for where, row in _standard_input() if file == "-" else _file(file):
        if not isinstance(row, Mapping):
            raise DataError(f"{where}: expected an object, got {type(row).__name__}")
        found = True
        yield where, row
    if not found:
        raise DataError(f"{'standard input' if file == '-' else file}: no rows")


def _file(file: str) -> Iterator[tuple[str, Any]]:
    path = given_path(file, "--file")
    check_regular(path)
    line = counting_unit(path) == "line"
    ending = format_of(path)
    remedy = "Correct or remove this row."
    if ending is None:
        remedy = (
            "Its ending names no format, so it is read as JSON lines; or end it in .csv, .tsv or .parquet."
        )
    for number, record in records(path, ending=ending or ".jsonl"):
        where = f"{file}:{number}" if line else f"{file}, row {number}"
        if isinstance(record, Fault):
            raise DataError(f"{where}: {record}", remedy=remedy)
        yield where, record


def _standard_input() -> Iterator[tuple[str, Any]]:
    for number, record in json_lines(sys.stdin.buffer, "standard input"):
        where = f"standard input:{number}"
        if isinstance(record, Fault):
            remedy = "Standard input is read as JSON lines; name a file of another format."
            raise DataError(f"{where}: {record}", remedy=remedy)
        yield where, record


def rows_in(file: str | None) -> int | None:
    """Return about how many rows a file has, counted without reading them; ``None``: nobody can know.

    A cell of several lines counts as several rows. Of what cannot be read nothing is said here.
    """
    if file is None or file == "-":
        return None
    path = given_path(file, "--file")
    ending = format_of(path) or ".jsonl"
    try:
        check_regular(path)
        if ending == ".parquet":
            from pyarrow import parquet

            return int(parquet.read_metadata(path).num_rows)
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
    except (AdapterlabError, OSError, EOFError, ImportError, ValueError):
        return None
    return max(1, lines - (ending in (".csv", ".tsv")))


@contextmanager
def counted(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a person how many rows are done; give what to call with the number.

    Args:
        what: What is done with them.
        total: How many there are, as :func:`rows_in` says; ``None``: not known.
    """
    if not is_interactive(sys.stderr):
        yield lambda _: None
        return
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    count = "{task.completed:,} rows" if total is None else "{task.completed:,} of {task.total:,} rows"
    words = TextColumn(f"{{task.description}}: {count}")
    known = (BarColumn(), words, TimeRemainingColumn()) if total is not None else (SpinnerColumn(), words)
    with Progress(*known, TimeElapsedColumn(), console=stderr(), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def count_to(done: int) -> None:
            more = None if total is None else max(total, done)  # a file may have more than its lines said
            bar.update(task, completed=done, total=more)

        yield count_to
