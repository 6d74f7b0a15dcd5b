"""How one fault and a list of faults read."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from adapterlab.passwords import hide_passwords
from adapterlab.spec.faults import Fault, spec_error


def fault(**changes: object) -> Fault:
    return Fault(**{"file": "a.toml", "line": 2, "column": 5, "key": "k", "message": "wrong", **changes})  # type: ignore[arg-type]


def test_the_caret_is_under_the_fault_even_after_wide_letters() -> None:
    text = fault(source='漢 = "é"', width=3).render()
    assert text.split("\n") == ["a.toml:2:5: wrong", '    2 | 漢 = "é"', "      |      ^^^"]


def test_a_long_line_is_shown_around_the_fault() -> None:
    lines = fault(column=5001, source="x" * 5000 + "!" + "y" * 5000).render().split("\n")
    assert len(lines[1]) < 130
    assert lines[1][lines[2].index("^")] == "!"


def test_tabs_do_not_shift_the_caret() -> None:
    lines = fault(column=3, source="\t\tx = 1").render().split("\n")
    assert lines[1][lines[2].index("^")] == "x"


def test_faults_are_listed_in_reading_order_and_counted() -> None:
    error = spec_error(
        [fault(line=9), fault(line=None, column=None, file="--set x=1"), fault(line=2)], "a.toml"
    )
    assert [item["line"] for item in error.details["faults"]] == [2, 9, None]
    assert str(error).endswith("3 faults in a.toml")
    assert set(error.details["faults"][0]) >= {"file", "line", "column", "key", "message", "hint"}


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(spec_error([fault()], "a.toml")))
    assert error.details["faults"][0]["message"] == "wrong"
    assert error.exit_code == 3


@given(st.text(max_size=40), st.integers(1, 60), st.integers(1, 20))
def test_any_line_renders_without_control_characters(source: str, column: int, width: int) -> None:
    text = fault(source=source, column=column, width=width).render()
    assert all(char.isprintable() or char == "\n" for char in text)


def test_passwords_are_hidden_and_columns_kept() -> None:
    text = 'catalog = "postgresql+psycopg://me:p@ss:w/rd@host:5432/db" # x'
    hidden = hide_passwords(text)
    assert len(hidden) == len(text)
    assert "ss:w" not in hidden
    assert hidden.endswith('@host:5432/db" # x')
    assert hide_passwords("https://host/path?x=a:b") == "https://host/path?x=a:b"
