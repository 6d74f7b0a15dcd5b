"""How a table fits a width: whole, folded or stacked; nothing is ever cut.

Words break at spaces; a name, a key or a number stays whole, and only one that is longer than a line goes on
in the next. Widths are in terminal cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_GAP = 2
_INDENT = 2
_PROSE_WIDTH = 24
"""Prose is not wrapped into less, where there is room for more."""
_SHORT_DETAIL = 10
"""A detail of no more stays on one line."""


@dataclass(frozen=True)
class Piece:
    """Some text of one style."""

    text: str
    style: str = ""
    breaks: bool = False
    """Whether it is prose, which may be broken at spaces."""


Line = tuple[Piece, ...]
"""One line on the screen."""


@dataclass(frozen=True)
class Head:
    """A column's heading."""

    name: str
    detail: str = ""
    """Smaller, below it."""
    right: bool = False
    group: int = 0
    """Where a matrix does not fit, columns of one group stand together."""


Cell = tuple[Piece, ...]
"""What stands in a cell, each piece on a line of its own."""


@dataclass(frozen=True)
class Sheet:
    """One table to lay out."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rule: bool = False
    """Whether a line is drawn under the headings."""
    legend: list[tuple[str, str]] = field(default_factory=list)
    """Short names that stand for long ones; filled by :func:`banded`."""

    def part(self, places: Sequence[int]) -> Sheet:
        """Return some of its columns."""
        rows = tuple(tuple(row[place] for place in places) for row in self.rows)
        return Sheet(tuple(self.heads[place] for place in places), rows, self.rule)


def cells(text: str) -> int:
    """Return how wide a text is on the screen."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(text: str, width: int, *, words: bool = True) -> list[str]:
    """Return a text as lines that fit; joined again they are the text, spaces at breaks aside.

    Args:
        text: One line.
        width: At least 2.
        words: Whether to break at spaces first.
    """
    lines: list[str] = []
    rest = text
    while cells(rest) > width:
        cut = _fitting(rest, width)
        space = rest.rfind(" ", 1, cut + 1) if words else -1
        if space > 0 and rest[:space].strip():
            lines.append(rest[:space].rstrip())
            rest = rest[space + 1 :]
        else:
            lines.append(rest[:cut])
            rest = rest[cut:]
    return [*lines, rest]


def _fitting(text: str, width: int) -> int:
    """Return how many characters of a text fit, at least one."""
    used = 0
    for place, character in enumerate(text):
        used += cells(character)
        if used > width:
            return max(1, place)
    return len(text)


# -- lists: one record a row --------------------------------------------------------------------------


def fitted(sheet: Sheet, width: int) -> list[Line]:
    """Return a list's lines: a line a row where that fits, else two, else a small block a row.

    Args:
        sheet: The list.
        width: Of the screen.
    """
    natural, least = _widths(sheet, natural=True), _widths(sheet)
    if _total(natural) <= width:
        return _block(sheet, natural)
    if _total(least) <= width:
        return _block(sheet, _grown(least, natural, width))
    filled = [place for place in range(len(least)) if any(_says(row[place]) for row in sheet.rows)]
    if sheet.rows and len(filled) < len(least):
        return fitted(sheet.part(filled or [0]), width)
    return _hanging(sheet, least, width) or _folded(sheet, least, width) or _stacked(sheet, width)


def _hanging(sheet: Sheet, least: list[int], width: int) -> list[Line] | None:
    """Put what does not fit into the last column below its row."""
    others = _total(least[:-1])
    room = width - others - _GAP
    if sheet.heads[-1].right or room < max(_PROSE_WIDTH // 2, _heading_width(sheet.heads[-1])):
        return None
    lines = _heading(sheet, [*least[:-1], room])
    for row in sheet.rows:
        if all(cells(piece.text) <= room for piece in row[-1]):
            lines += _row(sheet.heads, row, [*least[:-1], room])
            continue
        lines += _row(sheet.heads[:-1], row[:-1], least[:-1])
        for piece in row[-1]:
            lines += _below(piece, width)
    return lines


def _folded(sheet: Sheet, least: list[int], width: int) -> list[Line] | None:
    """Fold every row, and the headings, into two lines; a row's second one is left out where it says nothing."""
    first: list[int] = []
    for place in range(len(least)):
        if _total([least[one] for one in (*first, place)]) > width:
            break
        first.append(place)
    second = list(range(len(first), len(least)))
    if not first or _INDENT + _total([least[place] for place in second]) > width:
        return None
    lines: list[Line] = []
    natural = _widths(sheet, natural=True)
    parts = []
    for some, pad in ((first, 0), (second, _INDENT)):
        widths = _grown([least[one] for one in some], [natural[one] for one in some], width - pad)
        parts.append((sheet.part(some), widths, pad))
    for part, widths, pad in parts:
        lines += _indented(_heading(part, widths), pad)
    for place in range(len(sheet.rows)):
        for part, widths, pad in parts:
            if not pad or any(map(_says, part.rows[place])):
                lines += _indented(_row(part.heads, part.rows[place], widths), pad)
    return lines


def _says(cell: Cell) -> bool:
    """Return whether anything stands in a cell."""
    return any(piece.text for piece in cell)


def _stacked(sheet: Sheet, width: int) -> list[Line]:
    """Write every row as a block: a heading and its value a line."""
    label = max(cells(head.name) for head in sheet.heads)
    label = label if label <= width // 2 else 0
    room = width - label - _GAP
    lines: list[Line] = []
    for place, row in enumerate(sheet.rows):
        if place:
            lines.append(())
        for head, cell in zip(sheet.heads, row, strict=True):
            pieces = [piece for piece in cell if piece.text]
            if not pieces:
                continue
            whole = [piece for piece in pieces if not piece.breaks]
            if not label or any(cells(piece.text) > room for piece in whole):
                lines += [(Piece(text, "bold"),) for text in wrapped(head.name, width)]
                lines += [line for piece in pieces for line in _below(piece, width)]
                continue
            texts = [Piece(text, piece.style) for piece in pieces for text in wrapped(piece.text, room)]
            lines.append((Piece(head.name.ljust(label + _GAP), "bold"), texts[0]))
            lines += [(Piece(" " * (label + _GAP)), text) for text in texts[1:]]
    return lines


def _below(piece: Piece, width: int) -> list[Line]:
    """Return a piece on lines of its own, set in where that does not break it."""
    pad = _INDENT if piece.breaks or cells(piece.text) + _INDENT <= width else 0
    texts = wrapped(piece.text, width - pad, words=piece.breaks)
    return [(Piece(" " * pad), Piece(text, piece.style)) for text in texts]


# -- matrices: rows are compared along columns --------------------------------------------------------


def banded(sheet: Sheet, width: int) -> list[Line]:
    """Return a matrix's lines: as many columns side by side as fit, the rest below, the first column at each.

    Where a name leaves too little room, a short one stands for it and ``sheet.legend`` says for which.

    Args:
        sheet: The matrix; its first column names its rows, each by a name of its own.
        width: Of the screen.
    """
    natural = _widths(sheet, natural=True)
    if _total(natural) <= width:
        return _block(sheet, natural)
    least = _widths(sheet)
    if _total(least) <= width:
        return _block(sheet, _grown(least, natural, width))
    values = max(
        (cells(piece.text) for row in sheet.rows for cell in row[1:] for piece in cell if not piece.breaks),
        default=0,
    )
    sheet = _with_short_names(sheet, least[0], values, width)
    least = _widths(sheet)
    room = width - least[0] - _GAP
    if room < max(2, values):
        return _stacked(sheet, width)
    bands: list[list[int]] = [[]]
    for place in range(1, len(least)):
        full = _total([min(least[one], room) for one in (*bands[-1], place)]) > room
        if bands[-1] and (full or sheet.heads[place].group != sheet.heads[place - 1].group):
            bands.append([])
        bands[-1].append(place)
    lines: list[Line] = []
    for number, band in enumerate(bands):
        if number:
            lines.append(())
        places = [0, *band]
        part = sheet.part(places)
        lines += _block(part, [least[0], *(min(least[place], room) for place in band)])
    return lines


def _with_short_names(sheet: Sheet, names: int, values: int, width: int) -> Sheet:
    rows, heads = sheet.rows, list(sheet.heads)
    if names + _GAP + values > width:
        codes = _codes("m", len(rows))
        sheet.legend.extend(zip(codes, (row[0][0].text for row in rows), strict=True))
        rows = tuple(
            ((Piece(code, row[0][0].style), *row[0][1:]), *row[1:])
            for code, row in zip(codes, rows, strict=True)
        )
    room = width - _widths(Sheet(tuple(heads), rows))[0] - _GAP
    long = [place for place in range(1, len(heads)) if _heading_width(heads[place]) > room]
    for code, place in zip(_codes("c", len(long)), long, strict=True):
        head = heads[place]
        sheet.legend.append((code, f"{head.name}{f' ({head.detail})' if head.detail else ''}"))
        heads[place] = Head(code, right=head.right, group=head.group)
    return Sheet(tuple(heads), rows, sheet.rule, sheet.legend)


def _codes(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(1, 1 + count)]


# -- parts --------------------------------------------------------------------------------------------


def _widths(sheet: Sheet, *, natural: bool = False) -> list[int]:
    """Return the columns' widths: those of whole texts, or the least that break none but prose."""
    found = []
    for place, head in enumerate(sheet.heads):
        heading = max(cells(head.name), cells(head.detail)) if natural else _heading_width(head)
        pieces = [piece for row in sheet.rows for piece in row[place]]
        found.append(max([heading, *(_piece_width(piece, natural=natural) for piece in pieces)]))
    return found


def _heading_width(head: Head) -> int:
    detail = cells(head.detail)
    return max(_longest_word(head.name), detail if detail <= _SHORT_DETAIL else _longest_word(head.detail))


def _piece_width(piece: Piece, *, natural: bool) -> int:
    whole = cells(piece.text)
    if natural or not piece.breaks:
        return whole
    return min(whole, max(_longest_word(piece.text), _PROSE_WIDTH))


def _longest_word(text: str) -> int:
    return max((cells(word) for word in text.split(" ")), default=0)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * max(0, len(widths) - 1)


def _grown(least: list[int], natural: list[int], width: int) -> list[int]:
    """Give the room that is left to the columns that want it, from the left."""
    left = width - _total(least)
    grown = []
    for small, large in zip(least, natural, strict=True):
        more = min(left, large - small)
        left -= more
        grown.append(small + more)
    return grown


def _block(sheet: Sheet, widths: list[int]) -> list[Line]:
    lines = _heading(sheet, widths)
    if sheet.rule:
        lines.append((Piece("─" * _total(widths), "dim"),))
    for row in sheet.rows:
        lines += _row(sheet.heads, row, widths)
    return lines


def _heading(sheet: Sheet, widths: list[int]) -> list[Line]:
    columns = []
    for head, width in zip(sheet.heads, widths, strict=True):
        names = [Piece(text, "bold") for text in wrapped(head.name, width)]
        details = [Piece(text, "dim") for text in wrapped(head.detail, width)] if head.detail else []
        columns.append([*names, *details])
    return _beside(sheet.heads, columns, widths, bottom=True)


def _row(heads: Sequence[Head], row: Sequence[Cell], widths: list[int]) -> list[Line]:
    columns = [
        [
            Piece(text, piece.style)
            for piece in cell
            for text in wrapped(piece.text, max(2, width), words=piece.breaks)
        ]
        for cell, width in zip(row, widths, strict=True)
    ]
    return _beside(heads, columns, widths)


def _beside(
    heads: Sequence[Head], columns: Sequence[Sequence[Piece]], widths: list[int], *, bottom: bool = False
) -> list[Line]:
    """Return columns' pieces side by side, ended at the top line or the bottom one."""
    height = max((len(column) for column in columns), default=0)
    lines: list[Line] = []
    for number in range(height):
        line: list[Piece] = []
        for position, (head, column, width) in enumerate(zip(heads, columns, widths, strict=True)):
            at = number - (height - len(column)) if bottom else number
            piece = column[at] if 0 <= at < len(column) else Piece("")
            pad = " " * max(0, width - cells(piece.text))
            gap = " " * _GAP if position else ""
            line += [Piece(gap + pad), piece] if head.right else [Piece(gap), piece, Piece(pad)]
        lines.append(tuple(line))
    return lines


def _indented(lines: Iterable[Line], pad: int) -> list[Line]:
    return [(Piece(" " * pad), *line) for line in lines]
