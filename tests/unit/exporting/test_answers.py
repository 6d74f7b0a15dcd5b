"""Which texts of a row are encoded, in the task's own columns or in the general ones."""

from __future__ import annotations

import pytest

from adapterlab.errors import DataError
from adapterlab.exporting.answers import Answers, sequences_of
from adapterlab.records import ProblemType


def listing(*columns: str, column: str = "choices.text", labels: tuple[str, ...] = ("A", "B")) -> Answers:
    """Return how a task is read whose choices lie in one column, as a list."""
    return Answers("mine/q", ProblemType.MULTIPLE_CHOICE, labels, columns, "accuracy", (column,))


@pytest.mark.parametrize(
    "row",
    [
        {"q": "why?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}},
        {"q": "why?", "choices.text": ["x", "y"]},
        {"text": "why?", "choices": ["x", "y"]},
    ],
)
def test_choices_in_one_column_are_read_as_the_task_or_in_general(row):
    assert sequences_of(row, listing("q"), "row 1") == (("why?", "x"), ("why?", "y"))
    assert Answers.from_json(listing("q").to_json(), where="x", outputs=1) == listing("q")


def test_choices_that_are_whole_need_no_text():
    assert sequences_of({"choices": {"text": ["x", "y"]}}, listing(), "row 1") == (("x",), ("y",))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"q": "why?"}, "row 1: expected q, choices.text, or text and choices, a list; it has q$"),
        ({"q": "why?", "choices": {"text": "x"}}, "a list; it has q, choices$"),
        ({"q": "why?", "choices": {"text": ["x"]}}, "row 1: 1 choices, expected 2"),
        ({"choices": {"text": ["x", "y"]}}, "text is None, expected text"),
    ],
)
def test_a_row_that_lacks_them_is_told(row, says):
    with pytest.raises(DataError, match=says):
        sequences_of(row, listing("q"), "row 1")
