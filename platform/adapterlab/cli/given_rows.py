"""Rows that a person hands to a command: JSON lines, tables and Parquet from files, or standard input."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adapterlab.cli.output import is_interactive, stderr
from adapterlab.data.formats import Fault, counting_unit, format_of, records
from adapterlab.errors import DataError
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
    for number, record in records(path, ending=format_of(path) or ".jsonl"):
        where = f"{file}:{number}" if line else f"{file}, row {number}"
        if isinstance(record, Fault):
            raise DataError(f"{where}: {record}", remedy="Correct or remove this row.")
        yield where, record


def _standard_input() -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                yield f"standard input:{number}", _parsed(line, number)
    except UnicodeDecodeError as error:
        raise DataError(f"standard input:{number + 1}: not UTF-8 (byte {error.start})") from None


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"standard input:{number}: broken JSON ({error})",
            remedy="Standard input is read as JSON lines; name a file of another format.",
        ) from None


@contextmanager
def counted(what: str) -> Iterator[Callable[[int], None]]:
    """Show a person how many rows are done; give what to call with the number."""
    if not is_interactive(sys.stderr):
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)
