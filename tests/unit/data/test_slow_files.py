"""Files made to be slow: refused early, or read with work that grows as the file does."""

from __future__ import annotations

import gzip
import json
from itertools import islice

import pytest

from adapterlab.data import columns, file_records, formats, row_reading
from adapterlab.data.formats import records
from adapterlab.data.row_reading import ReadOptions, file_rows, label_names
from adapterlab.errors import DataError
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import TaskDefinition

TASK = TaskDefinition(
    name="t",
    problem_type=ProblemType.CLASSIFICATION,
    metrics=("accuracy",),
    text=("text",),
    label="label",
    labels=("a", "b"),
)


@pytest.mark.parametrize("name", ["train.jsonl.gz", "train.csv.gz", "train.tsv.gz"])
@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"  \n"])
def test_a_small_file_of_millions_of_empty_lines_is_refused_early(tmp_path, monkeypatch, name, line):
    path = tmp_path / name
    path.write_bytes(gzip.compress(line * 5_000_000))
    lines = 0
    next_line = formats._next_line

    def counting(*arguments):
        nonlocal lines
        lines += 1
        return next_line(*arguments)

    monkeypatch.setattr(formats, "_next_line", counting)
    with pytest.raises(DataError, match="empty lines so far"):
        list(records(path))
    assert lines <= formats.MAX_EMPTY_LINES + 1


def test_empty_lines_between_rows_are_as_welcome_as_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_EMPTY_LINES", 3)
    path = tmp_path / "train.jsonl"
    path.write_text('{"a": 1}\n\n\n' * 50)
    assert len(list(records(path))) == 50


def test_a_header_of_many_columns_is_looked_at_once_a_column():
    class Cells(list):
        def count(self, _value):
            pytest.fail("one walk over all columns for each of them")

    assert len(formats._header("x.csv", Cells(f"c{i}" for i in range(8000)), ",")) == 8000
    with pytest.raises(DataError, match="'b' stands there twice"):
        formats._header("x.csv", Cells(["c", "b", "c", "b"]), ",")


def test_a_file_of_bad_rows_is_left_after_some_thousands(tmp_path, monkeypatch):
    path = tmp_path / "train.jsonl"
    path.write_text('{"x": 1}\n' * 50_000)
    read = 0

    def counted(path, definition, *, quotes):
        nonlocal read
        for row in file_records.hub_records(path, definition, quotes=quotes):
            read += 1
            yield row

    monkeypatch.setattr(row_reading, "hub_records", counted)
    assert not label_names(path, TASK, ReadOptions())
    assert read == row_reading._MAX_FAULTS
    with pytest.raises(DataError, match="and at least 9995 more rows"):
        list(file_rows(path, TASK, ReadOptions()))


def test_the_near_name_of_a_missing_column_is_looked_for_once_a_file(tmp_path, monkeypatch):
    asked = []
    find = columns.difflib.get_close_matches
    monkeypatch.setattr(
        columns.difflib,
        "get_close_matches",
        lambda *one, **more: asked.append(len(one[1])) or find(*one, **more),
    )
    columns._no_column_words.cache_clear()
    path = tmp_path / "train.jsonl"
    row = json.dumps({f"c{i}": "x" for i in range(2000)})
    path.write_text(f"{row}\n" * 20)
    with pytest.raises(DataError, match="no column 'text'") as refused:
        list(file_rows(path, TASK, ReadOptions()))
    assert asked == [columns._COMPARED]
    assert len(refused.value.message) < 10_000


def test_a_line_that_nests_without_end_is_one_fault(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("[" * 1_000_000 + "\n" + '{"a":' * 100_000 + "\n" + "1" * 1_000_000 + "\n")
    found = list(islice(records(path), 4))
    assert len(found) == 3
    assert all(isinstance(one, formats.Fault) for _, one in found)
