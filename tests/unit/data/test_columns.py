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
