"""What is wrong with a task's data is found where it is, and what is right is not complained of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapterlab.data.duplicates import TaskDigests, overlap
from adapterlab.data.preview import TaskTokenizer, split_preview
from adapterlab.data.problems import TaskCheck, check_of_unreadable, check_task, overlap_finding
from adapterlab.data.task_library import TaskLibrary
from adapterlab.data.task_rows import TaskRows, load_rows
from adapterlab.errors import DataError, UsageError
from adapterlab.spec.tasks import TaskSpec

LONG = "a sentence that is long enough to count, number"


def task(folder: Path, splits: dict[str, Sequence[Any]], /, **more: object) -> TaskRows:
    """Return a task whose splits hold (text, label) rows."""
    folder.mkdir(exist_ok=True)
    for name, rows in splits.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    files = {name: f"{name}.jsonl" for name in splits}
    spec = TaskSpec.model_validate({"name": f"mine/{folder.name}", "text": ["text"], **files, **more})
    library = TaskLibrary(folder / "cache", own_tasks={spec.name: spec}, own_folder=folder)
    return load_rows(library, spec.name)


def rows(start: int, stop: int, labels: Sequence[Any] = ("bad", "good")) -> list[tuple[str, Any]]:
    return [(f"{LONG} {number}", labels[number % len(labels)]) for number in range(start, stop)]


def about(checked: TaskCheck, subject: str) -> list[tuple[str, str]]:
    return [(one.level, one.message) for one in checked.findings if one.about == subject]


SOUND = {"train": rows(0, 40), "validation": rows(40, 50), "test": rows(50, 60)}


def test_sound_data_has_no_findings(tmp_path):
    checked = check_task(task(tmp_path / "t", SOUND), None)
    assert (checked.findings, checked.sound) == ((), True)
    assert checked.rows == {"train": 40, "validation": 10, "test": 10}


def test_rows_of_training_in_the_test_split_are_a_problem_and_twins_a_note(tmp_path):
    splits = SOUND | {"train": [*rows(0, 40), rows(0, 1)[0]], "test": [*rows(50, 60), (f"{LONG} 3", "bad")]}
    found = about(check_task(task(tmp_path / "t", splits), None), "repeats")
    assert [(level, message.split("\n")[0]) for level, message in found] == [
        ("note", "train: 1 of 41 rows are repeated"),
        ("problem", "test: 1 of 11 rows are also in train, with another label: 1"),
    ]
    assert "test, row 11 of its file = train, row 4 (bad / good)" in found[1][1]


def test_a_split_of_one_class_is_refused_before_it_can_be_checked(tmp_path):
    splits = {"train": rows(0, 42), "validation": rows(40, 46, ("bad",)), "test": rows(60, 66)}
    with pytest.raises(DataError, match="every row has the label 'bad'"):
        task(tmp_path / "t", splits)


def test_label_sets_without_a_label_and_labels_never_shown_are_told(tmp_path):
    sets = [["x"], ["y"], []]
    splits = {
        "train": rows(0, 42, sets),
        "validation": rows(42, 48, [["z"], ["x"]]),
        "test": rows(48, 54, [["x"]]),
    }
    labels = ["x", "y", "z", "never"]
    checked = check_task(task(tmp_path / "t", splits, type="multi_label", labels=labels), None)
    assert about(checked, "labels") == [
        ("problem", "train has no row with the label 'z', 'never', but validation or test has 'z'"),
        ("note", "train: 14 of 42 rows have no label"),
    ]


def test_a_constant_target_is_a_problem(tmp_path):
    splits = {
        "train": rows(0, 40, (0.5, 2.0)),
        "validation": rows(40, 44, (1.0,)),
        "test": rows(44, 48, (1, 2)),
    }
    checked = check_task(task(tmp_path / "t", splits, type="regression"), None)
    assert about(checked, "labels") == [("problem", "validation: every target is 1")]


def test_cut_and_impossible_lengths_are_told_with_their_share(tmp_path, model_folder):
    splits = SOUND | {"train": [*rows(0, 39), ("the cat " * 40, "good")]}
    opened = task(tmp_path / "t", splits)
    found = about(check_task(opened, TaskTokenizer(model_folder, opened, 20)), "length")
    assert [level for level, _ in found] == ["note"]
    assert "train: 1 of 40 rows (2.5%) are longer than 20 tokens and are cut" in found[0][1]
    levels = [one[0] for one in about(check_task(opened, TaskTokenizer(model_folder, opened, 8)), "length")]
    assert levels == ["problem"] * 3
    ((level, message),) = about(check_task(opened, TaskTokenizer(model_folder, opened, 90)), "length")
    assert (level, message.split(":")[0]) == (
        "problem",
        "rows of 90 tokens, but the backbone takes at most 64",
    )


def test_data_that_is_refused_is_its_own_finding():
    checked = check_of_unreadable("mine/t", DataError("x.csv:3: empty", remedy="Remove it."))
    assert (checked.sound, checked.rows) == (False, {})
    assert checked.findings[0].message == "x.csv:3: empty\nRemove it."


def test_what_two_tasks_share_is_counted_in_both_whatever_the_capitals(tmp_path):
    one = task(tmp_path / "one", SOUND)
    loud = [(text.upper().replace(" ", "  "), label) for text, label in rows(50, 55)]
    splits = {"train": [*rows(100, 135), *loud], "validation": rows(135, 140), "test": rows(140, 150)}
    other = task(tmp_path / "other", splits)
    found = overlap(TaskDigests(one), TaskDigests(other))
    assert found is not None
    assert (found.rows, found.texts, found.of_training) == ((5, 5), (5, 5), 5)
    assert (overlap_finding(found, declared=False).level, overlap_finding(found, declared=True).level) == (
        "problem",
        "note",
    )
    stranger = {name: [(f"other {text}", label) for text, label in part] for name, part in SOUND.items()}
    assert overlap(TaskDigests(one), TaskDigests(task(tmp_path / "stranger", stranger))) is None


def test_an_example_shows_what_the_model_sees_and_what_it_does_not(tmp_path, model_folder):
    splits = SOUND | {"test": [("the cat sat not the dog ran", "bad"), *rows(50, 59)]}
    opened = task(tmp_path / "t", splits)
    example = split_preview(opened, "test", TaskTokenizer(model_folder, opened, 8)).example
    (sequence,) = example.sequences
    assert sequence.tokens == ("[CLS]", "the", "cat", "sat", "not", "the", "dog", "[SEP]")
    assert (sequence.texts[0].text[: sequence.texts[0].kept], sequence.cut_tokens) == (
        "the cat sat not the dog",
        1,
    )
    whole = split_preview(opened, "test", None).example.sequences[0]
    assert (whole.tokens, whole.texts[0].kept) == ((), len("the cat sat not the dog ran"))
    with pytest.raises(UsageError, match="no row 11"):
        split_preview(opened, "test", None, row=11)


def test_labels_that_differ_in_capitals_or_spaces_only_are_noted(tmp_path):
    more = [*rows(100, 120, ("Bad", " bad ")), *rows(120, 124, ("new york", "New  York"))]
    splits = SOUND | {"train": [*SOUND["train"], *more]}
    found = about(check_task(task(tmp_path / "t", splits), None), "labels")
    assert found == [
        ("note", "' bad ', 'Bad', 'bad' differ in capitals or spaces only, and are 3 labels"),
        ("note", "'New  York', 'new york' differ in capitals or spaces only, and are 2 labels"),
    ]


def test_a_first_choice_that_is_never_right_is_a_problem(tmp_path):
    """Choices counted from 1 whose last is not right in any row read as if counted from 0."""
    folder = tmp_path / "t"
    folder.mkdir()
    lines = [
        json.dumps({"text": f"{LONG} {number}?", "options": ["a", "b", "c"], "label": 1 + number % 2})
        for number in range(60)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")

    def checked(**more: object) -> list[tuple[str, str]]:
        spec = TaskSpec.model_validate(
            {"name": "mine/t", "train": "train.jsonl", "text": ["text"], "type": "multiple_choice"}
            | {"choices": ["options"]}
            | more
        )
        library = TaskLibrary(folder / "cache", own_tasks={spec.name: spec}, own_folder=folder)
        return about(check_task(load_rows(library, spec.name), None), "labels")

    assert [(level, "say first_choice = 1" in message) for level, message in checked()] == [("problem", True)]
    assert not checked(first_choice=1)
