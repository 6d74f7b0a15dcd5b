"""The files of a task: found by name, whole, and never outside the folder that was given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapterlab.data.split_files import MissingDataError, files_below
from adapterlab.errors import DataError
from adapterlab.records import Splits
from adapterlab.registry.entry_points import task_definition
from adapterlab.registry.task_definitions import FolderLocation

RTE = task_definition("glue/rte")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def found(root: Path, task: str = "glue/rte", definition=RTE) -> list[list[str]]:
    files = files_below(root, task, definition)
    return [[path.name for path in part] for part in (files.train, files.validation, files.test)]


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["train.jsonl", "validation.jsonl"], ["train.jsonl"], ["validation.jsonl"]),
        (["train.jsonl", "validation_matched.jsonl"], ["train.jsonl"], ["validation_matched.jsonl"]),
        (["train.tsv", "dev.tsv", "test.tsv"], ["train.tsv"], ["dev.tsv"]),
        (["train.jsonl", "val.jsonl", "test.jsonl"], ["train.jsonl"], ["val.jsonl"]),
        (["train.csv.gz", "valid.csv"], ["train.csv.gz"], ["valid.csv"]),
        (["train.jsonl", "train.csv", "dev.csv"], ["train.jsonl"], ["dev.csv"]),
        (
            [
                "train-00000-of-00002.parquet",
                "train-00001-of-00002.parquet",
                "validation-00000-of-00001.parquet",
            ],
            ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
            ["validation-00000-of-00001.parquet"],
        ),
    ],
)
def test_files_are_found_by_the_names_people_give_them(tmp_path, names, train, test):
    touch(tmp_path / "glue" / "rte", *names)
    assert found(tmp_path) == [train, [], test]


@pytest.mark.parametrize(
    ("task", "folder"),
    [("glue/sst2", "glue/SST-2"), ("glue/stsb", "GLUE/STS-B"), ("superglue/wic", "SuperGLUE/WiC")],
)
def test_the_original_distributions_folders_are_found(tmp_path, task, folder):
    touch(tmp_path / folder, "train.tsv", "dev.tsv")
    assert found(tmp_path, task, task_definition(task)) == [["train.tsv"], [], ["dev.tsv"]]


def test_a_tasks_own_splits_are_all_read(tmp_path):
    touch(tmp_path / "glue" / "rte", "train.csv", "dev.csv", "test.csv")
    own = replace(RTE, splits=Splits.OWN)
    assert found(tmp_path, definition=own) == [["train.csv"], ["dev.csv"], ["test.csv"]]
    assert found(tmp_path, definition=replace(RTE, splits=Splits.CUT)) == [["train.csv"], [], []]


def test_a_task_can_lie_in_another_folder_under_other_names(tmp_path):
    touch(tmp_path / "glue" / "winogrande", "train_s.jsonl", "validation.jsonl")
    small = replace(RTE, place=FolderLocation("winogrande", train="train_s"))
    assert found(tmp_path, definition=small)[0] == ["train_s.jsonl"]


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_a_missing_split_is_named(tmp_path, missing):
    touch(tmp_path / "glue" / "rte", *{"train.jsonl", "validation.jsonl"} - {f"{missing}.jsonl"})
    with pytest.raises(MissingDataError, match=rf"rte/{missing}\.jsonl does not exist") as caught:
        found(tmp_path)
    assert "data.root" in caught.value.remedy


def test_a_missing_shard_is_named(tmp_path):
    touch(tmp_path / "glue" / "rte", "train-00000-of-00003.parquet", "train-00002-of-00003.parquet")
    with pytest.raises(DataError, match="part 1 of 3 of train is missing"):
        found(tmp_path)


@pytest.mark.parametrize("task", ["glue/rte", "../outside", "glue/../../outside"])
def test_a_way_out_of_the_root_is_refused(tmp_path, task):
    root = touch(tmp_path / "root" / "glue").parent
    touch(tmp_path / "outside", "train.jsonl", "validation.jsonl")
    (root / "glue" / "rte").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="leads outside") as caught:
        found(root, task)
    assert caught.value.remedy


def test_a_link_of_one_file_out_of_the_root_is_refused(tmp_path):
    folder = touch(tmp_path / "root" / "glue" / "rte", "train.jsonl")
    touch(tmp_path, "secret.jsonl")
    (folder / "validation.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(DataError, match="leads outside"):
        found(tmp_path / "root")
