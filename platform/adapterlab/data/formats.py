"""Files to records: JSON lines, CSV, TSV and Parquet, each also packed with gzip; nothing is trusted.

A record is a mapping from column to value, or a :class:`Fault` where a line is broken; what the
columns mean is :mod:`adapterlab.data.row_reading`'s. Files are streamed: memory does not grow with them.
Text is UTF-8, with or without a byte order mark.

TSV has two dialects. The GLUE files know no quoting: a quote is text. Spreadsheets and pandas quote
as in CSV. Which one a file is follows from the file as a whole: it is quoted if it reads as CSV and
every quote in it stands where a CSV writer would have put it.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

from adapterlab.errors import DataError
from adapterlab.given_files import check_regular

MAX_LINE_BYTES = 1 << 26
"""Longest line read, 64 MiB; longer ones are no text rows but a broken file."""
FREE_BYTES = 1 << 28
"""A packed file may always unpack to so much, 256 MiB."""
MAX_RATIO = 100
"""Beyond that it may unpack to so many times its size; text packs to a third or a tenth."""
MAX_EMPTY_LINES = 100_000
"""So many empty lines, and ten for each that is not, may be in a text file: a packed one of 20 kB can hold
twenty million, and every one is looked at several times."""
BATCH_ROWS = 1024
ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")
"""Formats by the ending of a file's name; each may be followed by ``.gz`` but for Parquet."""

Quotes = Literal["auto", "csv", "none"]
"""How a delimited file quotes: as CSV does, not at all, or whatever the file looks like (TSV only)."""


class Fault(ValueError):  # noqa: N818 - a value that is yielded as often as it is raised
    """What is wrong with one row."""


Record = Mapping[str, Any] | Fault | Any


def format_of(path: Path) -> str | None:
    """Return the ending that names a file's format, ``".tsv"`` for ``dev.tsv.gz``; ``None`` if unknown."""
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if ending not in ENDINGS or (ending == ".parquet" and name.endswith(".gz")):
        return None
    return ending


def records(
    path: Path,
    *,
    ending: str | None = None,
    quotes: Quotes = "auto",
    header: tuple[str, ...] | None = None,
    lenient: bool = False,
) -> Iterator[tuple[int, Record]]:
    """Yield a file's records, each with its line, or its row for Parquet, from 1.

    Args:
        path: A file whose name ends as :data:`ENDINGS` say.
        ending: Which of them it is, whatever its name; ``None``: what its name says.
        quotes: How a delimited file quotes.
        header: Column names of a delimited file that has none in its first line.
        lenient: Take delimited rows with more cells than columns, and leave out those with fewer: the
            old distributions have some.

    Raises:
        DataError: The file as a whole cannot be read: unknown, cut off, not what its name says.
    """
    ending = ending or format_of(path)
    if ending is None:
        raise DataError(
            f"{path}: unknown format, expected a name that ends in {', '.join(ENDINGS)} (or one with .gz)",
            remedy="Save the file in one of these formats.",
        )
    if ending == ".parquet":
        yield from _parquet(path)
    elif ending == ".jsonl":
        yield from _json_lines(path)
    else:
        yield from _delimited(path, ending, quotes, header, lenient=lenient)


def counting_unit(path: Path) -> Literal["line", "row"]:
    """Return what :func:`records` numbers: lines of text, or rows of a Parquet file."""
    return "row" if format_of(path) == ".parquet" else "line"


def class_names(path: Path, column: str) -> tuple[str, ...]:
    """Return what a Parquet file calls the ids of a column: the names of a ``ClassLabel`` of ``datasets``.

    Args:
        path: Any file of rows.
        column: A column of ids, or of lists of them.

    Returns:
        The names by id; empty where the file says none, or cannot be read.
    """
    if format_of(path) != ".parquet":
        return ()
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kept = (pq.read_schema(path).metadata or {}).get(b"huggingface")
        said: Any = {} if kept is None else json.loads(kept)["info"]["features"][column]
        while isinstance(said, Mapping) and "feature" in said:  # a list of them
            said = said["feature"]
        names = said[0]["names"] if isinstance(said, list) else said["names"]
    except (
        ImportError,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        RecursionError,
        pa.ArrowException,
    ):
        return ()  # whatever is wrong with the file is told by who reads its rows
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names) if len(set(names)) == len(names) else ()


def first_cells(path: Path) -> list[str]:
    """Return what stands between the tabs of a text file's first line."""
    for _, line in _lines(path):
        return line.decode("utf-8", errors="replace").rstrip("\r\n").split("\t")
    return []


# -- JSON lines -----------------------------------------------------------------------------------


def json_lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, Record]]:
    """Yield the records of JSON lines from anywhere, read as those of a file are, each with its line from 1.

    Args:
        stream: The lines.
        name: Of the stream, for errors.

    Raises:
        DataError: It is no UTF-8 text of lines.
    """
    yield from _json_records(_lines_of(stream, name))


def _json_lines(path: Path) -> Iterator[tuple[int, Record]]:
    yield from _json_records(_lines(path))


def _json_records(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Record]]:
    for number, line in lines:
        if line.strip():
            try:
                yield number, _record(line)
            except Fault as fault:
                yield number, fault


def _record(line: bytes) -> Any:
    try:
        return json.loads(line.rstrip(b"\r\n").decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from None
    except json.JSONDecodeError as error:
        cut = "; the line has no end: is the file whole?" if not line.endswith(b"\n") else ""
        raise Fault(f"broken JSON at column {error.pos + 1}: {error.msg}{cut}") from None
    except RecursionError:
        raise Fault("broken JSON: nested too deeply") from None
    except Fault:
        raise
    except ValueError as error:  # a number of more digits than Python converts
        raise Fault(f"broken JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise Fault(f"{name} is not a value; expected a finite number or text")


def _not_utf8(error: UnicodeDecodeError) -> Fault:
    return Fault(f"not UTF-8: byte 0x{error.object[error.start]:02x} at column {error.start + 1}")


# -- CSV and TSV ----------------------------------------------------------------------------------


def _delimited(
    path: Path, ending: str, quotes: Quotes, header: tuple[str, ...] | None, *, lenient: bool
) -> Iterator[tuple[int, Record]]:
    separator = "," if ending == ".csv" else "\t"
    quoted = quotes == "csv" or (quotes == "auto" and (separator == "," or _is_quoted(path, separator)))
    columns = header
    for number, cells in _cells(path, separator, quoted=quoted):
        if isinstance(cells, Fault):
            yield number, cells
        elif columns is None:
            columns = _header(path, cells, separator)
        elif len(cells) == len(columns) or (lenient and len(cells) > len(columns)):
            yield number, dict(zip(columns, cells, strict=False))
        elif not lenient:
            yield number, Fault(f"{len(cells)} cells, expected {len(columns)} as in the first line")


def _header(path: Path, cells: list[str], separator: str) -> tuple[str, ...]:
    other = next((mark for mark in ";\t,|" if mark != separator and mark in cells[0]), None)
    if len(cells) == 1 and other is not None:
        raise DataError(
            f"{path}:1: one column, {cells[0][:60]!r}; its cells seem to be separated by {other!r}, "
            f"expected {separator!r}",
            remedy="Save it with commas as .csv, or with tabs as .tsv.",
        )
    _check_columns(f"{path}:1", cells)
    return tuple(cells)


def _check_columns(where: Path | str, columns: Sequence[str]) -> None:
    twice = min((name for name, count in Counter(columns).items() if count > 1), default=None)
    if twice is not None:
        raise DataError(
            f"{where}: the column {twice!r} stands there twice", remedy="Give every column its own name."
        )


def _cells(path: Path, separator: str, *, quoted: bool) -> Iterator[tuple[int, list[str] | Fault]]:
    faults: dict[int, Fault] = {}
    lines = _decode(path, faults)
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    style: dict[str, Any] = {"strict": True, "doublequote": True} if quoted else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(lines, delimiter=separator, **style)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            told = f"{error}; is the file whole?"
            if "new-line character" in str(error):  # Python asks whoever wrote the program
                told = "a carriage return alone ends no line; save it with line feeds"
            yield first, Fault(f"broken {'CSV' if separator == ',' else 'TSV'}: {told}")
            return  # where the next row begins is anyone's guess
        broken = [faults.pop(number) for number in range(first, reader.line_num + 1) if number in faults]
        if broken:
            yield first, broken[0]
        elif cells:  # else a blank line
            yield first, cells


def _decode(path: Path, faults: dict[int, Fault]) -> Iterator[str]:
    for number, line in _lines(path):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            faults[number] = _not_utf8(error)
            text = line.decode("utf-8", errors="replace")
        yield f"{text[:-2]}\n" if text.endswith("\r\n") else text


def _is_quoted(path: Path, separator: str) -> bool:
    """Tell whether every quote of a file stands where a CSV writer puts it."""
    lines: list[str] = []

    def note_lines() -> Iterator[str]:
        for line in _decode(path, {}):
            lines.append(line)
            yield line

    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    reader = csv.reader(note_lines(), delimiter=separator, strict=True, doublequote=True)
    found = False
    try:
        for cells in reader:
            written = sum(line.count('"') for line in lines)
            # several lines that are whole rows each: a stray quote would swallow them
            if (
                len(lines) > 1
                and len(cells) > 1
                and all(_is_row(line, separator, len(cells)) for line in lines)
            ):
                return False
            lines.clear()
            found = found or written > 0
            inside = [count for cell in cells if (count := cell.count('"'))]
            # a cell that holds quotes is written with each doubled, between two more
            if written < 2 * sum(inside) + 2 * len(inside):
                return False
    except csv.Error:
        return False
    return found


def _is_row(line: str, separator: str, width: int) -> bool:
    return line.count(separator) == width - 1


# -- Parquet --------------------------------------------------------------------------------------


def _parquet(path: Path) -> Iterator[tuple[int, Record]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow", remedy="Run: pip install 'adapterlab[data]'"
        ) from None
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, [field.name for field in file.schema_arrow])
            groups = (file.metadata.row_group(index) for index in range(file.metadata.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            _check_unpacked(path, unpacked, path.stat().st_size)
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield number, _plain(record)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: no whole Parquet file ({reason})", remedy="Fetch or write the file again."
        ) from None


def _plain(record: dict[str, Any]) -> Record:
    """Return a record as JSON could hold it: nothing for NaN; decimals and times as text, as CSV has them."""
    for name, value in record.items():
        if isinstance(value, float) and math.isnan(value):
            record[name] = None
        elif isinstance(value, Decimal | date | time | timedelta):
            record[name] = str(value)
    return record


# -- bytes ----------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield a text file's lines with their numbers, unpacked, without a byte order mark."""
    packed = path.name.lower().endswith(".gz")
    with _open(path, packed=packed) as stream:
        yield from _lines_of(stream, str(path), packed=path.stat().st_size if packed else None)


def _lines_of(
    stream: IO[bytes] | gzip.GzipFile, name: str, *, packed: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield a stream's lines with their numbers, without a byte order mark; ``packed``: bytes it is unpacked from."""
    seen, number, empty = 0, 0, 0
    while line := _next_line(name, stream):
        number += 1
        seen += len(line)
        if packed is not None:
            _check_unpacked(name, seen, packed)
        if not line.strip():
            empty += 1
            if empty > MAX_EMPTY_LINES + 10 * (number - empty):
                raise DataError(
                    f"{name}:{number}: {empty} empty lines so far, more than any text has",
                    remedy="Is this the right file? Write it again without empty lines.",
                )
        if len(line) > MAX_LINE_BYTES:
            raise DataError(
                f"{name}:{number}: the line is longer than {MAX_LINE_BYTES >> 20} MiB",
                remedy="Every row needs a line of its own; write the file again.",
            )
        if number == 1:
            if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{name}: UTF-16, expected UTF-8", remedy="Save the file as UTF-8.")
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield number, line


def _next_line(name: str, stream: IO[bytes] | gzip.GzipFile) -> bytes:
    try:
        return stream.readline(MAX_LINE_BYTES + 1)
    except (EOFError, zlib.error, OSError) as error:  # a gzip file that is none is an OSError
        raise DataError(
            f"{name}: cannot be unpacked ({error}); it is cut off or no gzip file",
            remedy="Fetch or pack the file again.",
        ) from None


def _open(path: Path, *, packed: bool) -> IO[bytes] | gzip.GzipFile:
    check_regular(path)
    try:
        return gzip.open(path) if packed else path.open("rb")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})", remedy="Check the file's permissions."
        ) from None


def _check_unpacked(path: Path | str, unpacked: int, packed: int) -> None:
    if unpacked > FREE_BYTES and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"{path}: {packed} bytes unpack to more than {MAX_RATIO} times as many; no text does that",
            remedy="Check where the file is from; unpack it yourself if it is what you want.",
        )
