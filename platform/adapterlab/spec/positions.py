"""Where keys and values stand in a TOML text.

``tomllib`` forgets positions, so this small scanner walks a text that ``tomllib`` has already
accepted and notes, for every path, where its key and its value begin and end. It runs only when
there is a fault to point at. :func:`oversized` is the guard that runs before every parse: it needs
no valid TOML, only brackets, dots and commas.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and list positions from the root, for example ``("search", "lr", "low")``."""

MAX_DEPTH = 32
MAX_KEY_PARTS = 16
MAX_ITEMS = 10_000

# Each form also matches when its closing quotes are missing, to the end of its line or of the text:
# a pattern that failed there would be tried again at every later quote, in quadratic time.
_STRING = (
    r'"""(?:[^"\\]++|\\[\s\S]?+|"(?!""))*+(?:"{3,5}+)?+'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5}+)?+"
    r'|"(?:[^"\\\n]++|\\[^\n]?+)*+"?+'
    r"|'[^'\n]*+'?+"
)
_COMMENT = r"#[^\n]*+"
_BARE = r"[A-Za-z0-9_-]++"
_TOKENS = (
    rf"(?P<skip>(?:[ \t\n\r]++|{_COMMENT})++)"
    rf"|(?P<string>{_STRING})"
    r"|(?P<mark>[\[\]{}=,.])"
    r"|(?P<bare>[^\s\[\]{}=,.#\"']++)"
    r"|(?P<stray>[\s\S])"
)
_DOTTED = rf"(?:(?:{_BARE}|\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"
_WEIGHTY = re.compile(
    rf"{_COMMENT}|(?P<long>{_DOTTED}{{{MAX_KEY_PARTS},}})|{_STRING}|(?P<mark>[\[\]{{}},])|{_BARE}"
)


class Span(NamedTuple):
    """A stretch of the text, as character offsets."""

    start: int
    end: int


@dataclass
class Positions:
    """Where every path of a document stands."""

    keys: dict[Path, Span] = field(default_factory=dict)
    """The text of a path's last key; list items have none."""
    values: dict[Path, Span] = field(default_factory=dict)
    """The text of a path's value; tables opened by a header have none."""

    def find(self, path: Path, *, value: bool = False) -> Span:
        """Return the best place for a path: its own, or that of its nearest ancestor.

        Args:
            path: What to look for; it need not exist.
            value: Prefer the value over the key.
        """
        first, second = (self.values, self.keys) if value else (self.keys, self.values)
        while path:
            span = first.get(path) or second.get(path)
            if span is not None:
                return span
            path = path[:-1]
        return Span(0, 0)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset, both counted from 1."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


def oversized(text: str) -> tuple[int, str] | None:
    """Return where and why a text is too heavy to parse, or ``None``.

    Deep nesting overflows the parser's stack and keys of many parts take it quadratic time, so
    both are refused before it sees them; no honest spec comes near the limits.
    """
    items: list[int] = []
    for token in _WEIGHTY.finditer(text):
        if token.lastgroup == "long":
            return token.start(), f"a key of more than {MAX_KEY_PARTS} dotted parts"
        if token.lastgroup != "mark":
            continue
        mark = token.group()
        if mark in "[{":
            items.append(0)
            if len(items) > MAX_DEPTH:
                return token.start(), f"nested more than {MAX_DEPTH} levels deep"
        elif mark == "," and items:
            items[-1] += 1
            if items[-1] >= MAX_ITEMS:
                return token.start(), f"a list of more than {MAX_ITEMS} items"
        elif mark in "]}" and items:
            items.pop()
    return None


def locate(text: str) -> Positions:
    """Return the position of every key and value of a valid TOML text with Unix line ends."""
    return _Scanner(text).scan()


class _Token(NamedTuple):
    kind: str
    text: str
    span: Span


class _Scanner:
    """One walk over the tokens; comments and white space are dropped on the way."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            _Token(match.lastgroup or "", match.group(), Span(*match.span()))
            for match in re.finditer(_TOKENS, text)
            if match.lastgroup != "skip"
        ]
        self._text = text
        self._next = 0
        self._positions = Positions()
        self._list_sizes: dict[Path, int] = {}
        """Tables seen so far of each ``[[list of tables]]``."""

    def scan(self) -> Positions:
        table: Path = ()
        while self._next < len(self._tokens):
            start = self._next
            table = self._header() if self._peek() == "[" else self._pair(table)
            if self._next == start:  # nothing a valid document has; never loop on it
                self._next += 1
        return self._positions

    def _peek(self, ahead: int = 0) -> str:
        index = self._next + ahead
        return self._tokens[index].text if index < len(self._tokens) else ""

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _header(self) -> Path:
        """Read ``[a.b]`` or ``[[a.b]]`` and return the path of the table it opens."""
        is_list = self._peek(1) == "["
        self._next += 2 if is_list else 1
        path: Path = ()
        parts = self._key_parts()
        for number, (name, span) in enumerate(parts):
            path = (*path, name)
            self._positions.keys.setdefault(path, span)
            last = number == len(parts) - 1
            if is_list and last:
                index = self._list_sizes.get(path, 0)
                self._list_sizes[path] = index + 1
                path = (*path, index)
                self._positions.keys[path] = span
            elif path in self._list_sizes:
                path = (*path, self._list_sizes[path] - 1)
            elif last:
                self._positions.keys[path] = span  # its own header is a better place than a child's
        while self._peek() == "]":
            self._next += 1
        return path

    def _pair(self, table: Path) -> Path:
        """Read ``a.b = value`` inside ``table``; return ``table``, which stays open."""
        path = table
        for name, span in self._key_parts():
            path = (*path, name)
            self._positions.keys.setdefault(path, span)
        if self._peek() == "=":
            self._next += 1
            self._value(path)
        return table

    def _key_parts(self) -> list[tuple[str, Span]]:
        """Read ``a."b".c``; a bare token holds no dot, so every part is one token."""
        parts: list[tuple[str, Span]] = []
        while self._next < len(self._tokens) and self._tokens[self._next].kind in ("bare", "string"):
            token = self._take()
            parts.append((_key_name(token), token.span))
            if self._peek() != ".":
                break
            self._next += 1
        return parts

    def _value(self, path: Path) -> None:
        start = self._tokens[self._next].span.start if self._next < len(self._tokens) else len(self._text)
        opening = self._peek()
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._scalar()
        end = self._tokens[min(self._next, len(self._tokens)) - 1].span.end if self._tokens else start
        self._positions.values[path] = Span(start, max(start, end))

    def _list(self, path: Path) -> None:
        self._next += 1
        index = 0
        while self._next < len(self._tokens) and self._peek() != "]":
            if self._peek() == ",":
                self._next += 1
                continue
            before = self._next
            self._value((*path, index))
            index += 1
            if self._next == before:
                self._next += 1
        self._next += 1

    def _inline_table(self, path: Path) -> None:
        self._next += 1
        while self._next < len(self._tokens) and self._peek() != "}":
            before = self._next
            if self._peek() != ",":
                self._pair(path)
            if self._next == before:
                self._next += 1
        self._next += 1

    def _scalar(self) -> None:
        """Pass over one string, or the pieces of a number or date: ``1.5``, ``1979-05-27 07:32:00``."""
        if self._next >= len(self._tokens) or self._take().kind == "string":
            return
        while self._next < len(self._tokens):
            previous, token = self._tokens[self._next - 1].span.end, self._tokens[self._next]
            gap = self._text[previous : token.span.start]
            is_time = gap == " " and re.match(r"\d\d:\d\d", token.text) is not None
            if token.text in (",", "]", "}", "=") or (gap and not is_time):
                return
            self._next += 1


def _key_name(token: _Token) -> str:
    if token.kind == "bare":
        return token.text
    try:
        name: str = tomllib.loads(f"key = {token.text}")["key"]
    except tomllib.TOMLDecodeError:  # not a valid document; any name does
        return token.text
    return name
