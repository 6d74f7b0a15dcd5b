"""How commands write: data to standard output, progress and messages to standard error.

What is written names tasks, labels and files, which are other people's words: :func:`printable` is between
them and the terminal, in plain lines, tables, live bars, logs and errors alike. Streams that nobody reads
(:class:`SafeStreams`) never end the work that is reported on them.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import io
import json
import logging
import math
import os
import re
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from adapterlab.cli import layout

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 10_000
"""Wide enough that rich never breaks a line of a pipe."""

_LONGEST_LINE = 2000
"""Letters of a line of an error message; what is wrong stands at its beginning or its end."""

_COMMANDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal obeys or hides instead of showing it: the C0 and C1 controls but for tab and line end, marks
that turn the direction of text, separators and marks without a width, halves of surrogate pairs."""
_COMMANDING_OR_LINES = re.compile(f"[\t\n]|{_COMMANDING.pattern}")


def printable(text: str, *, one_line: bool = False) -> str:
    """Return a text with everything that would command a terminal written as Python's escapes.

    Args:
        text: Somebody's words: a label, a file's name, a message of a library.
        one_line: Also escape tabs and line ends, for a cell or a name.
    """
    return (_COMMANDING_OR_LINES if one_line else _COMMANDING).sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def stdout() -> Console:
    """Return a console for results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return a console for progress and messages."""
    return _console(sys.stderr)


def is_interactive(stream: TextIO) -> bool:
    """Return whether a person watches the stream: a terminal that can move its cursor, and no CI."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def emit(text: str) -> None:
    """Write one line, or several, of results."""
    sys.stdout.write(f"{printable(text)}\n")


def emit_wrapped(text: str) -> None:
    """Write a sentence, broken at spaces where a terminal is narrower."""
    for line in layout.wrapped(printable(text), width()) if is_interactive(sys.stdout) else (text,):
        emit(line)


def note_wrapped(text: str) -> None:
    """Write a message for the person like :func:`note`, broken at spaces where a terminal is narrower."""
    for line in layout.wrapped(printable(text), width()) if is_interactive(sys.stderr) else (text,):
        note(line)


def emit_file(text: str) -> None:
    """Write what is a file's contents: as they are into a pipe or a file, printable on a terminal."""
    sys.stdout.write(f"{printable(text) if sys.stdout.isatty() else text}\n")


def note(text: str) -> None:
    """Write a message for the person, not for a pipe."""
    sys.stdout.flush()  # keeps the order right where both streams are one terminal
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def clipped(text: str) -> str:
    """Return a message whose lines are short enough to be read: one may quote a cell, a value or 8,000 columns."""
    return "\n".join(map(_clipped_line, text.split("\n")))


def _clipped_line(line: str) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    ends = _LONGEST_LINE // 4
    return f"{line[: _LONGEST_LINE - ends]} … {len(line) - _LONGEST_LINE:,} letters … {line[-ends:]}"


def emit_json(value: Any) -> None:
    """Write one JSON document: dataclasses as objects, times in ISO form, NaN and infinity as null."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    document = json.dumps(to_json(value), indent=2, ensure_ascii=ascii_only, allow_nan=False)
    sys.stdout.write(f"{_COMMANDING.sub(_json_escape, document)}\n")


def to_json(value: Any) -> Any:
    """Return a value as something JSON can say.

    Raises:
        TypeError: It is of a kind that has no JSON form.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): to_json(item) for name, item in value.items()}
    return _object_to_json(value)


def _object_to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return to_json(value.model_dump(mode="json"))
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    raise TypeError(f"no JSON form for a {type(value).__name__}: {value!r}")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
    prose: Iterable[str] = (),
) -> None:
    """Write a list: fitted to the width of a terminal without cutting anything, aligned plain lines elsewhere.

    Args:
        columns: Headings.
        rows: Cells, shown as text; ``None`` is an empty cell.
        title: One line above it.
        right: Headings of columns that are aligned to the right, such as numbers.
        prose: Headings of columns that hold sentences, which may be broken at spaces.
    """
    cells = [["" if cell is None else printable(str(cell), one_line=True) for cell in row] for row in rows]
    columns = [printable(column, one_line=True) for column in columns]
    numbers, sentences = ({printable(one, one_line=True) for one in some} for some in (right, prose))
    title = None if title is None else printable(title)
    if not is_interactive(sys.stdout):
        _plain(columns, cells, title, numbers)
        return
    sheet = layout.Sheet(
        tuple(layout.Head(column, right=column in numbers) for column in columns),
        tuple(
            tuple(
                (layout.Piece(cell, breaks=column in sentences),)
                for column, cell in zip(columns, row, strict=True)
            )
            for row in cells
        ),
    )
    if title:
        draw([(layout.Piece(text, "bold italic"),) for text in layout.wrapped(title, width())])
    draw(layout.fitted(sheet, width()))


def matrix(
    sheet: layout.Sheet,
    *,
    title: str,
    notes: Sequence[str] = (),
    marks: str | None = None,
    compared: bool = True,
) -> None:
    """Write a matrix, whose rows are compared along its columns, like :func:`table`.

    Args:
        sheet: Its cells; the first column names the rows, each by a name of its own.
        title: One line above it.
        notes: Sentences below it.
        marks: What bold and underlined cells say, where cells are.
        compared: Whether it is one; else a list, whose first column need not tell rows apart.
    """
    if not is_interactive(sys.stdout):
        heads = [f"{head.name} ({head.detail})" if head.detail else head.name for head in sheet.heads]
        rows = [[_one_line(cell) for cell in row] for row in sheet.rows]
        right = {place for place, head in enumerate(sheet.heads) if head.right}
        _plain([printable(head, one_line=True) for head in heads], rows, printable(title), right)
        for note_text in notes:
            emit(note_text)
        return
    sheet = layout.Sheet(
        tuple(
            dataclasses.replace(
                head,
                name=printable(head.name, one_line=True),
                detail=printable(head.detail, one_line=True),
            )
            for head in sheet.heads
        ),
        tuple(
            tuple(
                tuple(layout.Piece(printable(one.text, one_line=True), one.style, one.breaks) for one in cell)
                for cell in row
            )
            for row in sheet.rows
        ),
        sheet.rule,
    )
    room = width()
    draw([(layout.Piece(text, "bold"),) for text in layout.wrapped(printable(title), room)])
    draw(layout.banded(sheet, room) if compared else layout.fitted(sheet, room))
    for short, long in sheet.legend:
        named = f"{short} = {long}"
        lines = (
            [named]
            if layout.cells(named) <= room
            else [f"{short} =", *layout.wrapped(long, room, words=False)]
        )
        draw([(layout.Piece(text, "dim"),) for text in lines])
    for sentence in [*([marks] if marks else []), *notes]:
        draw(
            [
                (layout.Piece(text, "dim"),)
                for text in layout.wrapped(printable(sentence, one_line=True), room)
            ]
        )


def width() -> int:
    """Return how many cells a line of the terminal has."""
    stream = sys.stdout if is_interactive(sys.stdout) else sys.stderr
    return max(20, _console(stream).width)


def draw(lines: Iterable[layout.Line]) -> None:
    """Write lines that fit the terminal, each in its pieces' styles."""
    from rich.text import Text

    console = stdout()
    for line in lines:
        text = Text.assemble(*((piece.text, piece.style) for piece in line))
        text.rstrip()
        console.print(text, no_wrap=True, overflow="ignore", crop=False)


def _one_line(cell: layout.Cell) -> str:
    """Return a cell as a pipe has it: the value, then what is noted of it in brackets."""
    first, *rest = (printable(piece.text, one_line=True) for piece in cell) if cell else ("",)
    return f"{first} ({'; '.join(rest)})" if rest else first


def _plain(
    columns: Sequence[str], cells: list[list[str]], title: str | None, right: set[str] | set[int]
) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if title:
        emit(title)
    for row in [columns, *cells]:
        aligned = (
            cell.rjust(size) if place in right or column in right else cell.ljust(size)
            for place, (column, cell, size) in enumerate(zip(columns, row, widths, strict=True))
        )
        emit("  ".join(aligned).rstrip())


def _console(stream: TextIO) -> Console:
    """Return a rich console; rich itself honours NO_COLOR, FORCE_COLOR and TERM."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PrintableConsole(Console):
        """Rich drops some controls from a text and passes on others, ESC among them."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    width = None if stream.isatty() else _PLAIN_WIDTH
    return PrintableConsole(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())


class PrintableFormatter(logging.Formatter):
    """Formats log messages for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a message."""
        return printable(super().format(record))


class SafeStreams:
    """While it is entered, nothing that happens to this process's own streams raises.

    A reader may leave (``| head -1``), a disk may be full, a stream may have been closed before the start
    (``>&-``): the work goes on, and what could not be written is dropped. Descriptors that were closed lead to
    the null device, or the first file that is opened, a database, would get their number and what others
    print. Streams that a caller put in place of the process's own are left alone.
    """

    def __init__(self) -> None:
        self._before: tuple[Any, Any, Any] = (None, None, None)
        self._lost: list[OSError] = []

    @property
    def lost(self) -> OSError | None:
        """Why results were not written; ``None``: they were, or standard output was closed from the start."""
        return self._lost[0] if self._lost else None

    def __enter__(self) -> SafeStreams:
        self._before = sys.stdin, sys.stdout, sys.stderr
        _fill_standard_descriptors()
        sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)
        sys.stdout = _safe(sys.stdout, 1, self._lost)
        sys.stderr = _safe(sys.stderr, 2, [])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr = self._before


class _Outlet(io.RawIOBase):
    """A descriptor that takes everything: after its first error what is written is dropped."""

    def __init__(self, descriptor: int, lost: list[OSError]) -> None:
        super().__init__()
        self._descriptor, self._lost, self._open = descriptor, lost, True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        while self._open:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # somebody made the pipe we share non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self._lost.append(error)
                self._open = False
        return len(data)


def _safe(stream: Any, descriptor: int, lost: list[OSError]) -> Any:
    if stream is None:
        encoding, errors, by_line = "utf-8", "backslashreplace", False
    elif isinstance(stream, io.TextIOWrapper) and _descriptor(stream) == descriptor:
        with suppress(OSError):
            stream.flush()
        # never die of a letter that the terminal's encoding lacks
        encoding, errors, by_line = stream.encoding, "backslashreplace", stream.line_buffering
    else:
        return stream
    through = bool(stream is not None and stream.write_through)
    outlet = io.BufferedWriter(_Outlet(descriptor, lost))
    return io.TextIOWrapper(
        outlet, encoding=encoding, errors=errors, line_buffering=by_line, write_through=through
    )


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (OSError, ValueError):
        return None


def _fill_standard_descriptors() -> None:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)
