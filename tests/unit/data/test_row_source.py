"""Labels and choices that nobody declared: as the file's own names order them, or as its rows show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.data.row_source import RowSource
from adapterlab.data.task_facts import source_and_facts, task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError
from adapterlab.spec.tasks import TaskSpec

WORDS = ("unsure", "yes", "no")


def library(folder: Path, **task: object) -> TaskLibrary:
    spec = TaskSpec.model_validate({"name": "mine/own", "text": ["text"], "train": "train.parquet", **task})
    return TaskLibrary(folder / "cache", None, own_tasks={spec.name: spec}, own_folder=folder)


def source(folder: Path, **task: object) -> RowSource:
    return source_and_facts(library(folder, **task), "mine/own")[0]


def labels(folder: Path, **task: object) -> list[object]:
    """Return what each row of train is labelled, in words."""
    found = source(folder, **task)
    names = found.definition.labels
    return [
        tuple(names[one] for one in row.label) if isinstance(row.label, tuple) else names[int(row.label)]
        for row in found.rows("train")
    ]


def write(folder: Path, features: object, rows: list[dict[str, object]]) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows, features=datasets.Features(features)).to_parquet(
        folder / "train.parquet"
    )


def single(folder: Path, ids: list[int]) -> None:
    datasets = pytest.importorskip("datasets")
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(WORDS))}
    write(folder, features, [{"text": f"row {n}", "label": one} for n, one in enumerate(ids)])


def test_a_class_label_of_datasets_is_its_name_in_its_order(tmp_path):
    ids = [0, 1, 2] * 12
    single(tmp_path, ids)
    assert task_facts(library(tmp_path), "mine/own").labels == WORDS
    assert labels(tmp_path) == [WORDS[one] for one in ids]


def test_the_same_rows_by_name_are_the_same_rows(tmp_path):
    """A table with words and a file with ids have one content, whatever order the spec names them in."""
    ids = [2, 1, 0] * 12
    single(tmp_path, ids)
    lines = [json.dumps({"text": f"row {n}", "label": WORDS[one]}) for n, one in enumerate(ids)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    ordered = {"labels": ["no", "unsure", "yes"]}
    by_id = task_facts(library(tmp_path, **ordered), "mine/own")
    by_name = task_facts(library(tmp_path, train="train.jsonl", **ordered), "mine/own")
    assert by_id.content_digest == by_name.content_digest


def test_names_of_the_spec_that_are_not_the_files_are_for_its_ids(tmp_path):
    single(tmp_path, [0, 1, 2] * 12)
    named = {"labels": ["neither", "for", "against"]}
    assert labels(tmp_path, **named)[:3] == ["neither", "for", "against"]


def test_a_list_of_class_labels_is_a_row_of_several(tmp_path):
    datasets = pytest.importorskip("datasets")
    kind = getattr(datasets, "List", datasets.Sequence)
    features = {"text": datasets.Value("string"), "label": kind(datasets.ClassLabel(names=list(WORDS)))}
    write(
        tmp_path,
        features,
        [{"text": f"row {n}", "label": [[0, 1], [2], [], [1, 2]][n % 4]} for n in range(40)],
    )
    found = labels(tmp_path, type="multi_label")
    assert found[:4] == [("unsure", "yes"), ("no",), (), ("yes", "no")]


@pytest.mark.parametrize(
    "kept", [b"{", b"[]", b'{"info": {"features": {"label": {"names": [1, 2]}}}}', b"\xff"]
)
def test_names_that_cannot_be_read_are_none(tmp_path, kept):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"row {n}" for n in range(40)], "label": [n % 2 for n in range(40)]})
    pq.write_table(table.replace_schema_metadata({b"huggingface": kept}), tmp_path / "train.parquet")
    assert set(labels(tmp_path)) == {"0", "1"}


def choices(folder: Path, *lists: object) -> None:
    rows = [
        json.dumps({"text": f"why {n}?", "label": n % 2, "choices": {"text": one}})
        for n, one in enumerate(lists * (40 // len(lists)))
    ]
    (folder / "train.jsonl").write_text("\n".join(rows) + "\n")


CHOOSING = {"train": "train.jsonl", "type": "multiple_choice", "choices": ["choices.text"]}


def test_choices_are_as_many_as_the_first_row_lists(tmp_path):
    choices(tmp_path, ["a", "b", "c", "d"])
    facts = task_facts(library(tmp_path, **CHOOSING), "mine/own")
    assert (facts.labels, facts.choices, facts.n_labels) == (("0", "1", "2", "3"), 4, 1)
    row = next(source(tmp_path, **CHOOSING).rows("train"))
    assert row.sequences == tuple(("why 0?", one) for one in "abcd")
    named = task_facts(library(tmp_path, **CHOOSING, labels=["A", "B", "C", "D"]), "mine/own")
    assert named.labels == ("A", "B", "C", "D")
    with pytest.raises(DataError, match="unknown label 0 in column 'label', expected one of 1, 2, 3, 4"):
        task_facts(library(tmp_path, **CHOOSING, first_choice=1), "mine/own")


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        (
            (["a", "b"], ["a", "b", "c"]),
            r"train\.jsonl:2: column 'choices\.text' lists 3 choices, expected 2",
        ),
        ((["a"],), "lists 1 choices, expected 2"),
        (("a",), "is text, expected a list of choices"),
    ],
)
def test_choices_of_another_number_are_told(tmp_path, lists, says):
    choices(tmp_path, *lists)
    with pytest.raises(DataError, match=says):
        source(tmp_path, **CHOOSING)
