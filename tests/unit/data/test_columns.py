"""A cell or a JSON value to the label it means: names before ids, numbers by value, flags by position."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.data.columns import RowMaker
from adapterlab.data.formats import Fault
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import TaskDefinition
from adapterlab.spec.tasks import choice_names

FOUR = ("food", "water", "shelter", "health")


def maker(*labels: str, several: bool = False, **options) -> RowMaker:
    kind = ProblemType.MULTI_LABEL if several else ProblemType.CLASSIFICATION
    task = TaskDefinition("t", ("text",), "label", kind, labels, ("accuracy",))
    return RowMaker(task, **{"by_name": True, "separator": None} | options)


def label(reader: RowMaker, value: object) -> object:
    return reader.label({"text": "a", "label": value})


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True), st.data())
def test_a_class_called_by_a_number_is_that_number_however_it_is_written(numbers, data):
    """Pandas writes a column of stars with one gap as 1.0, 2.0; the test file says 1, 2."""
    written = data.draw(st.sampled_from([str, lambda one: f"{one}.0", lambda one: f"{one}.00"]))
    index = data.draw(st.integers(0, len(numbers) - 1))
    number = numbers[index]
    labels = [written(one) for one in numbers]
    for cell in (str(number), f"{number}.0"):
        assert label(maker(*labels, cells=True), cell) == index
    for value in (number, float(number)):
        assert label(maker(*labels), value) == index


@pytest.mark.parametrize("value", [0, 6, 1.5, True, "1", None])
def test_a_number_that_no_class_is_called_is_no_id(value):
    """0 would be the id of the class called 1.0."""
    with pytest.raises(Fault, match="unknown label"):
        label(maker("1.0", "2.0", "3.0"), value)


def test_classes_called_by_words_and_those_of_suites_keep_their_ids():
    assert label(maker("no", "yes", cells=True), "1") == 1
    assert label(maker("no", "yes"), 1) == 1
    assert label(maker("1", "2", "3", by_name=False), 0) == 0


@given(st.lists(st.booleans(), min_size=3, max_size=9))
def test_a_row_of_one_flag_per_label_is_read_by_position(flags):
    labels = [f"label {number}" for number in range(len(flags))]
    expected = tuple(number for number, flag in enumerate(flags) if flag)
    zeros_and_ones = [int(flag) for flag in flags]
    for value in (flags, zeros_and_ones, json.dumps(zeros_and_ones)):
        assert label(maker(*labels, several=True), value) == expected
    cell = ";".join(str(int(flag)) for flag in flags)
    assert label(maker(*labels, several=True, separator=";", cells=True), cell) == expected


@pytest.mark.parametrize(
    ("value", "ids"), [([0, 1], (0, 1)), ([1], (1,)), ([3, 1], (1, 3)), ([], ()), (["water", 0], (0, 1))]
)
def test_a_list_of_ids_is_still_one(value, ids):
    assert label(maker(*FOUR, several=True), value) == ids


@pytest.mark.parametrize(
    ("labels", "value", "says"),
    [
        (("0", "1"), [1, 0, 1, 1], "4 zeros and ones for 2 labels; name every label in order"),
        (FOUR, [1, 0, 0], "3 zeros and ones for 4 labels"),
        (("no", "yes"), [1, 0], "two labels' ids, or a 0 and a 1 for each"),
    ],
)
def test_flags_that_could_mean_something_else_are_refused(labels, value, says):
    with pytest.raises(Fault, match=says):
        label(maker(*labels, several=True), value)


def test_two_labels_are_told_apart_where_flags_can_only_be_flags():
    two = maker("no", "yes", several=True)
    assert [label(two, value) for value in ([0, 0], [1, 1], [True, False])] == [(), (0, 1), (0,)]


@pytest.mark.parametrize("value", [["food", "water", "food"], '["food", "water", "food"]'])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_label_named_twice_in_one_row_is_a_fault(value, by_name):
    with pytest.raises(Fault, match="lists the label 'food' twice"):
        label(maker(*FOUR, several=True, by_name=by_name), value)


def hot(*labels: str, cells: bool = False) -> RowMaker:
    """Return a reader of a task with a column of 0 or 1 for each label."""
    task = TaskDefinition(
        "t", ("text",), "a, b", ProblemType.MULTI_LABEL, labels, ("f1_macro",), label_columns=labels
    )
    return RowMaker(task, by_name=True, separator=None, cells=cells)


@given(st.lists(st.booleans(), min_size=2, max_size=6), st.sampled_from([bool, int, float]))
def test_a_column_of_zero_or_one_for_each_label_is_read_by_its_name(flags, written):
    names = [f"label {number}" for number in range(len(flags))]
    row = {"text": "a"} | {name: written(flag) for name, flag in zip(names, flags, strict=True)}
    expected = tuple(number for number, flag in enumerate(flags) if flag)
    assert hot(*names).label(dict(reversed(row.items()))) == expected
    cells = {name: str(value) for name, value in row.items()}
    assert hot(*names, cells=True).label(cells) == expected


@pytest.mark.parametrize("value", [2, -1, 0.5, "1", "yes", None, [1]])
def test_another_value_in_a_column_of_flags_is_a_fault(value):
    with pytest.raises(Fault, match=r"column 'b' is .*, expected 0 or 1"):
        hot("a", "b").label({"text": "x", "a": 1, "b": value})
    with pytest.raises(Fault, match="no column 'b'"):
        hot("a", "b").rows_in({"text": "x", "a": 1})


def choosing(*choices: str, count: int = 3, first: int = 0, **options) -> RowMaker:
    task = TaskDefinition(
        "t", ("text",), "right", ProblemType.MULTIPLE_CHOICE, choice_names(count, first), ("accuracy",),
        choices=choices,
    )  # fmt: skip
    return RowMaker(task, **{"by_name": True, "separator": None} | options)


@pytest.mark.parametrize(
    ("column", "row"),
    [
        ("options", {"options": ["x", "y", "z"]}),
        ("options", {"options": '["x", "y", "z"]'}),
        ("choices.text", {"choices": {"text": ["x", "y", "z"], "label": ["A", "B", "C"]}}),
    ],
)
def test_choices_in_one_column_are_as_many_sequences(column, row):
    reader = choosing(column)
    (row,) = reader.rows_in({"text": "why?", "right": 2} | row)
    assert reader.sequences(row) == (("why?", "x"), ("why?", "y"), ("why?", "z"))
    assert reader.label(row) == 2


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["x", "y"], "lists 2 choices, expected 3"),
        (["x", 1, "z"], "choice 2 of column 'options' is a number"),
        (["x", "y", " "], "choice 3 of column 'options' is empty"),
        ("x", "is text, expected a list of choices"),
        ("[x", "no JSON list"),
        (None, "is null, expected a list"),
    ],
)
def test_a_list_of_choices_that_is_none_is_a_fault(value, says):
    with pytest.raises(Fault, match=says):
        choosing("options").sequences({"text": "why?", "right": 0, "options": value})


def test_choices_may_be_counted_from_one():
    """Read from 0, the last one is out of reach and every other one is its neighbour."""
    for value in (1, "1", 1.0):
        assert label_of_choice(choosing("a", "b", "c", first=1, cells=True), value) == 0
    assert label_of_choice(choosing("a", "b", "c", first=1), 3) == 2
    with pytest.raises(Fault, match="unknown label 0"):
        label_of_choice(choosing("a", "b", "c", first=1), 0)
    with pytest.raises(Fault, match="say first_choice = 1"):
        label_of_choice(choosing("a", "b", "c"), 3)


def label_of_choice(reader: RowMaker, value: object) -> object:
    return reader.label({"text": "why?", "right": value})


def test_ids_that_the_file_names_are_its_names():
    """``datasets`` writes a ClassLabel as ids, and their names into the file."""
    told = ("neutral", "yes", "no")
    assert label(maker("no", "yes", classes=told), 2) == 0
    assert label(maker("no", "yes", classes=told), "yes") == 1
    assert label(maker(*FOUR, several=True, classes=("health", "food", "water", "shelter")), [0, 1]) == (0, 3)
    # the spec has other names for the same ids
    assert label(maker("against", "for", classes=told), 1) == 1
    with pytest.raises(Fault, match="'neutral'"):
        label(maker("no", "yes", classes=told), 0)
    with pytest.raises(Fault, match="-1 stands for a hidden label"):
        label(maker("no", "yes", classes=told), -1)
