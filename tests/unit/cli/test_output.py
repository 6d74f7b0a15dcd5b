"""JSON that any parser reads, tables that stay plain in pipes."""

from __future__ import annotations

import io
import json
import logging
import math
import sys
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.cli import output
from adapterlab.records import State
from adapterlab.spec.model import FinalSpec


@dataclass(frozen=True)
class Row:
    name: str
    score: float


@pytest.mark.parametrize(
    ("value", "document"),
    [
        (math.nan, None),
        ({"a": math.inf, 1: -math.inf}, {"a": None, "1": None}),
        (State.COMPLETE, "complete"),
        (Row("x", math.nan), {"name": "x", "score": None}),
        ([Row("x", 1.0)], [{"name": "x", "score": 1.0}]),
        (FinalSpec(), {"seeds": [0, 1, 2]}),
        (Path("a/b"), "a/b"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        ((1, "é", True, None), [1, "é", True, None]),
    ],
)
def test_anything_a_command_returns_becomes_strict_json(
    value: object, document: object, capsys: pytest.CaptureFixture[str]
) -> None:
    output.emit_json(value)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == document


def test_what_has_no_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        output.to_json(object())


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_json_output_is_always_parsable(value: object) -> None:
    json.dumps(output.to_json(value), allow_nan=False)


def test_a_table_in_a_pipe_is_plain_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["task", "score"], [["rte", 0.5], ["a-long-name", None]], title="best", right=["score"])
    assert capsys.readouterr().out.split("\n") == [
        "best",
        "task         score",
        "rte            0.5",
        "a-long-name",
        "",
    ]


def test_an_empty_table_still_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["task", "score"], [])
    assert capsys.readouterr().out == "task  score\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_on_a_terminal_takes_text_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    output.table(["name"], [["[red]not markup[/red]"]])
    assert "[red]not markup[/red]" in screen.getvalue()


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("CI", "true")])
def test_dumb_terminals_and_ci_are_not_interactive(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    assert output.is_interactive(Terminal())
    monkeypatch.setenv(variable, value)
    assert not output.is_interactive(Terminal())
    assert not output.is_interactive(io.StringIO())


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_consoles_in_pipes_write_no_escapes_and_break_no_lines(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, stream, pipe)
    getattr(output, stream)().print(f"[bold red]{'long ' * 100}[/]")
    assert "\x1b" not in pipe.getvalue()
    assert pipe.getvalue().count("\n") == 1


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    output.stdout().print("[red]x[/]")
    assert "\x1b[31m" not in screen.getvalue()


HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202etxt.exe\u2066\u200b\x00\ud800é漢 👩\u200d💻"
OBEYED = "\x1b\x07\r\x9b\u202e\u2066\u200b\x00\ud800"


def _is_harmless(text: str) -> bool:
    return not set(text) & set(OBEYED)


def test_what_commands_a_terminal_is_escaped_and_the_rest_is_left() -> None:
    shown = output.printable(HOSTILE)
    assert shown == (
        "a\\x1b[31mred\\x1b]0;title\\x07\\r\\x9b2J\\u202etxt.exe\\u2066\\u200b\\x00\\ud800é漢 👩\u200d💻"
    )
    assert output.printable("a\tb\nc") == "a\tb\nc"
    assert output.printable("a\tb\nc", one_line=True) == "a\\tb\\nc"


@given(st.text())
def test_escaping_is_stable_and_leaves_nothing_a_terminal_obeys(text: str) -> None:
    shown = output.printable(text)
    assert output.printable(shown) == shown
    assert all(char in "\t\n" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") for char in shown)


def test_every_way_of_writing_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit(HOSTILE)
    output.note(HOSTILE)
    output.table([HOSTILE], [[HOSTILE]], title=HOSTILE, right=[HOSTILE])
    output.stdout().print(HOSTILE, markup=False)
    formatter = output.PrintableFormatter("%(message)s")
    logged = formatter.format(logging.LogRecord("adapterlab", 30, "", 1, HOSTILE, None, None))
    out, err = capsys.readouterr()
    assert _is_harmless(out + err + logged)
    assert out.count("\\x1b[31mred") == 5


def test_a_drawn_table_and_a_live_display_escape_too() -> None:
    from rich.table import Table
    from rich.text import Text

    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    console = output._console(terminal)
    drawn = Table()
    drawn.add_column(Text(HOSTILE))
    drawn.add_row(Text(HOSTILE))
    console.print(drawn)
    with console.status(Text(HOSTILE)):
        pass
    written = terminal.getvalue()
    assert "\x1b]0;title" not in written
    assert not set(written) & set("\x07\x9b\u202e\ud800")


def test_json_escapes_what_a_terminal_obeys_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_json({HOSTILE: [HOSTILE, "\U000e0001"]})
    out = capsys.readouterr().out
    assert _is_harmless(out)
    assert json.loads(out) == {HOSTILE: [HOSTILE, "\U000e0001"]}


def test_the_contents_of_a_file_stay_as_they_are_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.emit_file("a\x1bb,\u202e")
    assert capsys.readouterr().out == "a\x1bb,\u202e\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    output.emit_file("a\x1bb")
    assert capsys.readouterr().out == "a\\x1bb\n"


def test_a_message_that_quotes_too_much_keeps_its_beginning_and_its_end_line_by_line() -> None:
    long = "x" * 100_000
    shown = output.clipped(f"--set pool.size={long}: expected a whole number\nshort")
    first, second = shown.split("\n")
    assert first.startswith("--set pool.size=xxx")
    assert first.endswith("xxx: expected a whole number")
    assert len(first) < 2100
    assert second == "short"
    assert output.clipped("as it is") == "as it is"
