"""Rows from files and suites: what fits is read, every fault names its file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.data import formats
from adapterlab.data.row_reading import ReadOptions, check_train_labels, number_of_choices, suite_rows
from adapterlab.errors import DataError
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import Join, TaskDefinition
from rows import gathered, read_file

PAIR = TaskDefinition(
    name="pair",
    text=("premise", "hypothesis"),
    label="label",
    problem_type=ProblemType.CLASSIFICATION,
    labels=("no", "yes"),
    metrics=("accuracy",),
)
SCORE = TaskDefinition(
    name="score",
    text=("sentence",),
    label="score",
    problem_type=ProblemType.REGRESSION,
    labels=(),
    metrics=("pearson",),
)
CHOOSING = TaskDefinition(
    name="choosing",
    text=("question",),
    label="label",
    problem_type=ProblemType.MULTIPLE_CHOICE,
    labels=(),
    metrics=("accuracy",),
    choices=("options",),
    joins=(Join("questions", on="idx.question", key="id"),),
)
GOOD = [
    {"premise": "a", "hypothesis": "b", "label": 0, "idx": 0},
    {"premise": "c", "hypothesis": "d", "label": 1, "idx": 1},
]


def _write(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(text) + b"\n")
    return path


def test_used_columns_are_read_and_others_ignored(tmp_path):
    rows = read_file(_write(tmp_path / "x.jsonl", *GOOD), PAIR)
    assert rows.texts == [("a", "b"), ("c", "d")]
    assert rows.labels == [0, 1]
    assert len(rows) == 2


def test_class_names_stand_for_their_ids(tmp_path):
    named = [row | {"label": PAIR.labels[row["label"]]} for row in GOOD]
    assert read_file(_write(tmp_path / "x.jsonl", *named), PAIR).labels == [0, 1]


def test_regression_targets_become_floats(tmp_path):
    rows = read_file(_write(tmp_path / "x.jsonl", {"sentence": "a", "score": 3}), SCORE)
    assert rows.labels == [3.0]
    assert isinstance(rows.labels[0], float)


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [json.dumps(row).encode() for row in GOOD]
    path.write_bytes(b"\xef\xbb\xbf" + lines[0] + b"\r\n\r\n" + lines[1] + b"\n\n")
    assert read_file(path, PAIR).labels == [0, 1]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"premise": "a", "hypothesis": "b", "label": 0', "broken JSON at column 47"),
        (b"not json", "broken JSON"),
        (b"[1, 2]", "got a list, expected an object"),
        (b"null", "got null"),
        ({"premise": "a", "label": 0}, "no column 'hypothesis'"),
        ({"premise": "a", "hypotesis": "b", "label": 0}, "did you mean 'hypotesis'?"),
        ({"premise": "a", "hypothesis": "b"}, "no column 'label'"),
        ({"premise": "", "hypothesis": "b", "label": 0}, "column 'premise' is empty"),
        ({"premise": " \n", "hypothesis": "b", "label": 0}, "column 'premise' is empty"),
        ({"premise": None, "hypothesis": "b", "label": 0}, "column 'premise' is null"),
        ({"premise": 3, "hypothesis": "b", "label": 0}, "column 'premise' is a number"),
        (b'{"premise": NaN, "hypothesis": "b", "label": 0}', "NaN is not a value"),
        (b'{"premise": "a", "hypothesis": "b", "label": NaN}', "NaN is not a value"),
        (b'{"premise": "a", "hypothesis": "b", "label": Infinity}', "Infinity is not a value"),
        (b'{"premise": "\\ud800", "hypothesis": "b", "label": 0}', "surrogate"),
        (b'{"premise": "caf\xe9", "hypothesis": "b", "label": 0}', "not UTF-8: byte 0xe9 at column 17"),
        ({"premise": "a", "hypothesis": "b", "label": 2}, "unknown label 2"),
        ({"premise": "a", "hypothesis": "b", "label": -1}, "-1 stands for a hidden label"),
        ({"premise": "a", "hypothesis": "b", "label": "maybe"}, "expected one of 0 (no), 1 (yes)"),
        ({"premise": "a", "hypothesis": "b", "label": 1.0}, "unknown label 1.0"),
        ({"premise": "a", "hypothesis": "b", "label": True}, "unknown label True"),
        ({"premise": "a", "hypothesis": "b", "label": None}, "unknown label null"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"label": ' + b"9" * 10_000 + b"}", "broken JSON"),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_file_and_line(tmp_path, line, says):
    path = _write(tmp_path / "train.jsonl", GOOD[0], line, GOOD[1])
    with pytest.raises(DataError) as caught:
        read_file(path, PAIR)
    assert caught.value.message.startswith(f"{path}:2: ")
    assert says in caught.value.message
    assert caught.value.remedy
    assert caught.value.details["faults"][0]["line"] == 2


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ('"3.5"', "is text, expected a number"),
        ("null", "is null"),
        ("true", "is a truth value"),
        ("1e999", "finite"),
    ],
)
def test_a_regression_target_must_be_a_finite_number(tmp_path, value, says):
    path = _write(tmp_path / "train.jsonl", f'{{"sentence": "a", "score": {value}}}'.encode())
    with pytest.raises(DataError, match=says):
        read_file(path, SCORE)


def test_every_fault_is_counted_and_the_first_are_shown(tmp_path):
    path = _write(tmp_path / "train.jsonl", *GOOD, *([{"premise": "a"}] * 20))
    with pytest.raises(DataError) as caught:
        read_file(path, PAIR)
    assert "and 15 more rows" in caught.value.message
    assert [fault["line"] for fault in caught.value.details["faults"]] == list(range(3, 23))


def test_a_file_cut_off_in_its_last_line_says_so(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in GOOD)[:-20])
    with pytest.raises(DataError, match="is the file whole"):
        read_file(path, PAIR)


def test_an_endless_line_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_LINE_BYTES", 100)
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="longer than"):
        read_file(path, PAIR)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_split_is_refused(tmp_path, content):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no rows"):
        read_file(path, PAIR)


def test_a_split_of_one_class_is_refused(tmp_path):
    with pytest.raises(DataError, match="every row has the label 'yes'"):
        read_file(_write(tmp_path / "train.jsonl", GOOD[1], GOOD[1]), PAIR)


def test_a_class_that_never_occurs_in_train_is_named():
    three = TaskDefinition(
        name="three",
        text=("a",),
        label="label",
        problem_type=ProblemType.CLASSIFICATION,
        labels=("x", "y", "z"),
        metrics=("accuracy",),
    )
    with pytest.raises(DataError, match="no row has the label 'y'"):
        check_train_labels("train", [0, 2, 0], three)
    check_train_labels("train", [0, 1, 2], three)
    check_train_labels("train", [0.5], SCORE)


class _Suite:
    name = "own"
    version = 1

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def definitions(self) -> Mapping[str, TaskDefinition]:
        return {"pair": PAIR}

    def generates(self) -> bool:
        return True

    def rows(self, task: str, split: str) -> Iterator[Mapping[str, Any]]:
        assert (task, split) == ("pair", "train")
        yield from self._rows


def test_a_generated_task_is_checked_as_a_file_is():
    assert gathered(suite_rows(_Suite(GOOD), PAIR, "train")).labels == [0, 1]
    with pytest.raises(DataError, match="own/pair, train:1: no column"):
        gathered(suite_rows(_Suite([{"premise": "a"}]), PAIR, "train"))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_crash_the_reader(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("any") / "train.jsonl"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError):
        read_file(path, PAIR)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({"premise": JSON, "hypothesis": JSON, "label": JSON}))
def test_a_row_is_read_as_it_stands_or_named(tmp_path_factory, row):
    """Whatever JSON the columns hold: the row comes back unchanged, or its line is named."""
    path = _write(tmp_path_factory.mktemp("any") / "train.jsonl", *GOOD, row)
    fits = (
        all(isinstance(row[name], str) and row[name].strip() for name in PAIR.text)
        and not isinstance(row["label"], bool | float)
        and row["label"] in (0, 1, "no", "yes")
    )
    if fits:
        assert read_file(path, PAIR).texts[2] == (row["premise"], row["hypothesis"])
    else:
        with pytest.raises(DataError) as caught:
            read_file(path, PAIR)
        assert caught.value.message.startswith(f"{path}:3: ")


@given(st.lists(st.tuples(st.text(min_size=1).filter(str.strip), st.floats(-5, 5)), min_size=1, max_size=5))
def test_reading_undoes_writing(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("any") / "train.jsonl"
    _write(path, *({"sentence": text, "score": score} for text, score in written))
    rows = read_file(path, SCORE)
    assert [(text, label) for (text,), label in zip(rows.texts, rows.labels, strict=True)] == written


def test_choices_are_counted_where_a_table_beside_the_file_lists_them(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps({"idx": {"question": n}, "label": 0}) + "\n" for n in (7, 8)))
    assert number_of_choices(path, CHOOSING, ReadOptions()) is None
    asked = {"question": "why?", "options": ["x", "y", "z"]}
    lines = [{"id": 7, **asked}, {"id": 8, **asked}]
    (tmp_path / "train.questions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert number_of_choices(path, CHOOSING, ReadOptions()) == 3
