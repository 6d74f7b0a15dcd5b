"""The scanner finds every key and value of any document that tomllib accepts."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from adapterlab.spec.positions import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_KEY_PARTS,
    Path,
    line_column,
    locate,
    oversized,
)

ODD = "ab0-_ .#=[]{},'\"\\é漢😀"

bare_keys = st.text("abcXY09_-", min_size=1, max_size=4)
basic_keys = st.text(ODD, max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False))
literal_keys = st.text(ODD.replace("'", ""), max_size=5).map(lambda text: f"'{text}'")
keys = bare_keys | basic_keys | literal_keys
dots = st.sampled_from([".", " . ", "\t.", ". "])
spaces = st.sampled_from(["", " ", "  ", "\t"])
breaks = st.sampled_from(["", " ", "\n", "\n  ", ' # a ] comment, with = "\n', "\n#[x]\n"])


@st.composite
def dotted_keys(draw: st.DrawFn) -> str:
    parts = draw(st.lists(keys, min_size=1, max_size=3))
    return "".join(
        part + (draw(dots) if number < len(parts) - 1 else "") for number, part in enumerate(parts)
    )


def _multiline_basic(text: str) -> str:
    return '"""' + text.replace("\\", "\\\\").replace('"""', '""\\"').removesuffix('"') + '"""'


scalars = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["true", "false", "inf", "-inf", "1979-05-27", "07:32:00.5", "1979-05-27T07:32:00Z",
                     "1979-05-27 07:32:00-07:00", "0xff", "1_000", "6.626e-34", '""', "''", '""""""', "''''''"]),
    st.text(ODD, max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(ODD.replace("'", ""), max_size=8).map(lambda text: f"'{text}'"),
    st.text(ODD + "\n", max_size=12).map(_multiline_basic),
    st.text((ODD + "\n").replace("'", ""), max_size=12).map(lambda text: f"'''{text}'''"),
    st.sampled_from(['"""a"""""', "'''a'''''", '"""\\\n  x"""', '"""# [ {"""']),
)  # fmt: skip


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(values, max_size=3))
    gap = lambda: draw(breaks)  # noqa: E731
    inside = ",".join(f"{gap()}{item}{gap()}" for item in items)
    return f"[{inside}{',' if items and draw(st.booleans()) else ''}{gap()}]"


@st.composite
def inline_tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = [
        f"{draw(dotted_keys())}{draw(spaces)}={draw(spaces)}{draw(values)}"
        for _ in range(draw(st.integers(0, 3)))
    ]
    return f"{{ {', '.join(pairs)} }}"


values = st.recursive(scalars, lambda inner: arrays(inner) | inline_tables(inner), max_leaves=6)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["pair", "pair", "table", "list", "comment", "blank"]))
        key, space = draw(dotted_keys()), draw(spaces)
        if kind == "pair":
            lines.append(f"{space}{key}{draw(spaces)}={draw(spaces)}{draw(values)}{space}")
        elif kind == "table":
            lines.append(f"{space}[{space}{key}{space}] # ]")
        elif kind == "list":
            lines.append(f"[[{space}{key}{space}]]")
        else:
            lines.append('# [x] = "' if kind == "comment" else "")
    return "\n".join(lines)


def _paths(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    found = [(path, value)] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        found += _paths(item, (*path, name))
    return found


EXAMPLE = '''# hi "x
a.b."c d".'e' = 1.5
x = [1, 2.5, # c ]
  "a]b", {p=1, q.r = [ {z=1} ]}, """m"
"]""""]
[l.first]
[[l.m]]
a = 1979-05-27 07:32:00.5Z
[l.m.sub]
b = -2
[[l.m]]
[[l.m.deep]]
e = 5e+3
[l]
z = {}'''


@settings(max_examples=400, deadline=None)
@example(EXAMPLE)
@given(documents())
def test_every_key_and_value_is_found_where_it_stands(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
        raise
    positions = locate(text)
    for path, value in _paths(document):
        name = path[-1]
        if isinstance(name, str):
            span = positions.keys[path]
            assert tomllib.loads(f"{text[span.start : span.end]} = 0") == {name: 0}
        if not isinstance(value, dict | list):
            span = positions.values[path]
            assert tomllib.loads(f"v = {text[span.start : span.end]}")["v"] == value
    for path, span in positions.values.items():
        found = document
        for part in path:
            found = found[part]  # type: ignore[index]
        assert tomllib.loads(f"v = {text[span.start : span.end]}")["v"] == found


@given(st.text(st.sampled_from("ab.=[]{},\"'\\# \n1"), max_size=60))
def test_texts_that_are_no_toml_neither_crash_nor_hang_the_scanner(text: str) -> None:
    locate(text)
    oversized(text)


@given(documents())
def test_ordinary_documents_are_not_oversized(text: str) -> None:
    assert oversized(text) is None


@pytest.mark.parametrize(
    ("text", "offset", "what"),
    [
        ("a=" + "[" * 5000, MAX_DEPTH + 2, "levels"),
        ("a=" + "{a=" * 5000, 2 + 3 * MAX_DEPTH, "levels"),
        (".".join(["a"] * 20_000) + " = 1", 0, "dotted parts"),
        ("[x]\n[" + ' . "b" . '.join(["'a'"] * 20_000) + "]", 5, "dotted parts"),
        ("x = [" + "1," * 100_000 + "]", 4 + 2 * MAX_ITEMS, "items"),
    ],
)
def test_what_would_overload_the_parser_is_refused_before_it_is_parsed(
    text: str, offset: int, what: str
) -> None:
    heavy = oversized(text)
    assert heavy is not None
    assert heavy[0] == offset
    assert what in heavy[1]


def test_the_limits_themselves_are_allowed() -> None:
    assert oversized("a = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH) is None
    assert oversized(".".join(["a"] * MAX_KEY_PARTS) + " = 1") is None
    assert oversized("a = [" + "1," * (MAX_ITEMS - 1) + "1]") is None


def test_brackets_inside_strings_and_comments_do_not_count() -> None:
    deep = "[" * 100
    assert oversized(f'a = "{deep}" # {deep}\nb = \'\'\'\n{deep}\'\'\'\nc = """{deep}\\""""') is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("quotes", ['"\\', '"""\\"', "'", "'''a", '"" ', '"""', "a.'b' "])
def test_unclosed_quotes_do_not_hang_the_guard(quotes: str) -> None:
    """A pattern that fails at the end of the text and is tried again at each quote takes minutes here."""
    assert oversized("a = " + quotes * (256 * 1024 // len(quotes))) is None


def test_lines_and_columns_count_from_one_in_characters() -> None:
    text = "é = 1\n漢 = 2"
    assert line_column(text, 0) == (1, 1)
    assert line_column(text, text.index("1")) == (1, 5)
    assert line_column(text, text.index("2")) == (2, 5)


def test_a_path_that_is_not_there_is_found_at_its_nearest_ancestor() -> None:
    text = "[search]\nlr = { low = 1 }"
    positions = locate(text)
    span = positions.find(("search", "lr", "high"))
    assert text[span.start : span.end] == "lr"
    span = positions.find(("search", "lr", "low"), value=True)
    assert text[span.start : span.end] == "1"
    assert positions.find(("nothing",)).start == 0
