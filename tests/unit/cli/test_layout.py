"""No width cuts a name, a key or a number, and no two rows read the same."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.cli import layout, output

LETTERS = "abcXYZ019_-./éß漢"
NAMES = st.text(LETTERS, min_size=1, max_size=60) | st.text(LETTERS, min_size=40, max_size=60)
KEYS = st.text("0123456789abcdef", min_size=12, max_size=64)
NUMBERS = st.integers(-(10**14), 10**14).map("{:,}".format) | st.floats(0, 100).map("{:.4f} ± 0.1".format)
WIDTHS = st.integers(30, 60) | st.integers(30, 200)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(width, write) -> list[str]:
    """Return the lines that a person sees on a terminal of a width."""
    screen = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(width))
        patch.delenv("CI", raising=False)
        patch.setattr("sys.stdout", screen)
        write()
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in screen.getvalue().split("\n")]


def assert_whole(lines, texts, width):
    squeezed = "".join("".join(lines).split())
    for text in texts:
        if layout.cells(text) <= width:
            assert any(text in line for line in lines), f"{text!r} at {width}:\n" + "\n".join(lines)
        else:
            assert "".join(text.split()) in squeezed
    assert "…" not in squeezed
    assert all(layout.cells(line) <= width for line in lines)


@settings(deadline=None)
@given(
    width=WIDTHS,
    rows=st.lists(st.tuples(KEYS, NAMES, NUMBERS, NAMES), min_size=1, max_size=4),
    columns=st.lists(NAMES, min_size=4, max_size=4, unique=True),
)
def test_a_list_shows_every_cell_whole_at_any_width(width, rows, columns):
    lines = on_terminal(width, lambda: output.table(columns, rows, right=columns[2:3]))
    assert_whole(lines, [text for row in rows for text in row], width)


@settings(deadline=None)
@given(
    width=WIDTHS,
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    heads=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_a_matrix_shows_every_name_and_number_whole_at_any_width(width, names, heads, data):
    cells = st.lists(NUMBERS, min_size=len(heads), max_size=len(heads))
    values = [data.draw(cells) for _ in names]
    sheet = layout.Sheet(
        (layout.Head("method"), *(layout.Head(head, "accuracy", right=True) for head in heads)),
        tuple(
            (
                (layout.Piece(name),),
                *((layout.Piece(value), layout.Piece("1/3 seeds: 1 failed", breaks=True)) for value in row),
            )
            for name, row in zip(names, values, strict=True)
        ),
    )
    lines = on_terminal(width, lambda: output.matrix(sheet, title="t"))
    assert_whole(lines, [*names, *heads, *(value for row in values for value in row)], width)


@given(text=st.text("ab 漢", max_size=40), width=st.integers(2, 20))
def test_wrapped_lines_fit_and_joined_are_the_text(text, width):
    lines = layout.wrapped(text, width)
    assert all(layout.cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_long_names_get_short_ones_with_a_legend_and_never_the_same():
    names = [f"scalearn_uniform_with_a_very_long_name_{end}" for end in "ab"]
    rows = tuple(((layout.Piece(name),), (layout.Piece("50.0 ± 0.1"),)) for name in names)
    sheet = layout.Sheet((layout.Head("method"), layout.Head("rte", right=True)), rows)
    lines = on_terminal(40, lambda: output.matrix(sheet, title="t"))
    assert [line.split()[0] for line in lines if "50.0" in line] == ["m1", "m2"]
    # The legend: a name that does not fit beside its short one stands below it.
    assert "".join(lines[lines.index("m1 =") :]) == "m1 =" + names[0] + "m2 =" + names[1]


def test_columns_that_do_not_fit_stand_below_with_their_rows_names():
    rows = tuple(((layout.Piece(name),), *((layout.Piece("12345678"),),) * 4) for name in ("one", "two"))
    heads = (layout.Head("method"), *(layout.Head(f"task{number}", right=True) for number in range(4)))
    lines = on_terminal(30, lambda: output.matrix(layout.Sheet(heads, rows), title="t"))
    assert sum(line.startswith("one ") for line in lines) == 2
    assert [word for line in lines for word in line.split() if word.startswith("task")] == [
        "task0", "task1", "task2", "task3"
    ]  # fmt: skip


def test_a_column_that_says_nothing_makes_no_blank_lines_where_the_list_is_folded():
    steps = [(f"entailment · scalearn · final · seed {seed}", "complete", "3/3", None) for seed in (0, 1)]

    def shown(detail):
        rows = [*steps[:1], (*steps[1][:3], detail)]
        return on_terminal(50, lambda: output.table(("step", "state", "progress", "detail"), rows))

    assert "detail" not in "".join(shown(None))
    assert [line for line in shown(None)[:-1] if not line.strip()] == []
    lines = shown("epoch 1/3")
    assert [line for line in lines[:-1] if not line.strip()] == []
    assert any("epoch 1/3" in line for line in lines)


def test_a_heading_of_two_words_stays_on_one_line_where_a_list_is_folded():
    heads = ("sweep", "key", "state", "submitted", "elapsed", "sources", "studies", "final runs")
    rows = [("quickstart", "33595270f614", "complete", "2026-11-29 06:56", "9:29", "6/6", "2/2", "4/4")]
    for width in (60, 80):
        lines = on_terminal(width, lambda: output.table(heads, rows))
        assert len(lines) - 1 == 4, lines
        assert "final runs" in lines[1]


def test_a_matrix_in_a_pipe_is_one_plain_line_a_row(capsys):
    rows = tuple(
        ((layout.Piece(name * 60, "bold"),), (layout.Piece("50.0"), layout.Piece("1 failed", breaks=True)))
        for name in "ab"
    )
    heads = (layout.Head("method"), layout.Head("rte", "accuracy", right=True))
    output.matrix(layout.Sheet(heads, rows, rule=True), title="t", notes=["n"], marks="bold is best")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "t"
    assert lines[1].split("  ")[0] == "method"
    assert lines[1].endswith("rte (accuracy)")
    assert lines[2].split() == ["a" * 60, "50.0", "(1", "failed)"]
    assert lines[4:] == ["n"], "what marks mean is not said where there are none"
