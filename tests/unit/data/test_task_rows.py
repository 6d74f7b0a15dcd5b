"""A task as text: the same rows, in the same order, as those it is trained on, each with its number."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from adapterlab.data.task_data import load_task
from adapterlab.data.task_library import TaskLibrary
from adapterlab.data.task_rows import SPLITS, label_name, load_rows, train_texts
from adapterlab.spec.tasks import TaskSpec

ROWS = [(f"question {n}", f"answer {n}", ("bad", "good")[n % 2]) for n in range(40)]


def library(folder: Path, /, **task: object) -> TaskLibrary:
    """Return the tasks of a spec that declares one, whose files hold :data:`ROWS`."""
    for name in ("a.csv", "b.csv"):
        with (folder / name).open("w", newline="") as stream:
            csv.writer(stream).writerows([("q", "a", "label"), *ROWS])
    spec = TaskSpec.model_validate({"name": "mine/own", "train": "a.csv", "text": ["q", "a"], **task})
    return TaskLibrary(folder / "cache", own_tasks={spec.name: spec}, own_folder=folder)


@pytest.mark.parametrize("more", [{}, {"test": "b.csv"}, {"test": "b.csv", "splits": "shared"}])
def test_every_row_of_a_split_is_found_at_its_number_in_the_file(tmp_path, more):
    task = load_rows(library(tmp_path, **more), "mine/own")
    assert tuple(task.splits) == SPLITS
    for split in task.splits.values():
        for row, sequences in enumerate(split.examples()):
            question, answer, label = ROWS[split.number(row) - 1]
            assert sequences == split.example(row) == ((question, answer),)
            assert label_name(task.definition, split.labels[row]) == label


def test_rows_that_are_cut_from_one_file_are_shared_by_no_two_splits(tmp_path):
    splits = load_rows(library(tmp_path), "mine/own").splits.values()
    assert sorted(number for split in splits for number in split.indices.tolist()) == list(range(40))
    assert {split.file for split in splits} == {"train"}


def test_a_validation_split_that_is_the_test_split_says_so(tmp_path):
    splits = load_rows(library(tmp_path, test="b.csv", splits="shared"), "mine/own").splits
    assert [split.is_test for split in splits.values()] == [False, True, False]
    assert splits["validation"].indices.tolist() == splits["test"].indices.tolist()
    assert not any(split.is_test for split in load_rows(library(tmp_path), "mine/own").splits.values())


@pytest.mark.parametrize("more", [{}, {"test": "b.csv"}])
def test_text_and_tokens_are_in_one_order(tmp_path, model_folder, more):
    tasks = library(tmp_path, **more)
    rows = load_rows(tasks, "mine/own")
    data = load_task(tasks, "mine/own", backbone_folder=model_folder, max_length=16)
    for name, examples in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        assert examples.labels.tolist() == rows.splits[name].labels.tolist()


def test_the_texts_of_training_are_the_first_rows_of_its_order(tmp_path):
    tasks = library(tmp_path)
    texts = train_texts(tasks, "mine/own", limit=5)
    train = load_rows(tasks, "mine/own").splits["train"]
    expected = [f"{ROWS[train.number(row) - 1][0]} {ROWS[train.number(row) - 1][1]}" for row in range(5)]
    assert list(texts) == texts[:] == expected
    assert texts[1:3] == expected[1:3]
    assert len(train_texts(tasks, "mine/own")) == 32


def test_of_several_choices_each_is_a_sequence_and_the_first_is_the_text(tmp_path):
    choice = {
        "type": "multiple_choice", "text": ["q"], "choices": ["a", "label"], "label": "label",
        "labels": ["bad", "good"],
    }  # fmt: skip
    tasks = library(tmp_path, **choice)
    train = load_rows(tasks, "mine/own").splits["train"]
    question, answer, right = ROWS[train.number(0) - 1]
    assert train.example(0) == next(iter(train.examples())) == ((question, answer), (question, right))
    assert len(list(train.examples())) == len(train) == 32
    assert train_texts(tasks, "mine/own")[0] == f"{question} {answer}"


def test_rows_are_read_once_and_told_about(tmp_path, monkeypatch):
    tasks = library(tmp_path)
    told: list[tuple[str, int, int]] = []
    load_rows(tasks, "mine/own", progress=lambda *said: told.append(said))
    assert told == [("reading", 0, 40)]
    load_rows(tasks, "mine/own", progress=lambda *_: pytest.fail("read twice"))


@pytest.mark.parametrize(
    ("kind", "label", "name"),
    [("regression", 2.5, "2.5"), ("multi_label", [1, 0, 1], "x, z"), ("multi_label", [0, 0, 0], "–")],
)
def test_labels_are_called_as_people_call_them(kind, label, name):
    from adapterlab.spec.tasks import definition_from

    labels = ["x", "y", "z"] if kind == "multi_label" else []
    spec = TaskSpec.model_validate(
        {"name": "mine/own", "train": "a.csv", "text": ["q"], "type": kind, "labels": labels}
    )
    assert label_name(definition_from(spec), label) == name
