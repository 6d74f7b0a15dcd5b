"""What is known of a task: the same digest for the same data, another for anything that matters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import DataError, NotFoundError
from adapterlab.spec.tasks import TaskSpec

RTE = [
    {"sentence1": f"premise {i}", "sentence2": f"hypothesis {i}", "label": i % 2, "idx": i} for i in range(40)
]


def write_task(root: Path, task: str, train: list[dict], test: list[dict]) -> Path:
    folder = root / task
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("validation", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_task(tmp_path / "data", "glue/rte", RTE, RTE[:6])
    return tmp_path / "data"


def test_the_public_validation_split_is_the_test_and_a_tenth_of_train_validates(root, cache):
    facts = task_facts(TaskLibrary(cache, root), "glue/rte")
    assert (facts.n_train, facts.n_validation, facts.n_test) == (36, 4, 6)
    assert facts.metrics == ("accuracy",)
    assert facts.labels == ("entailment", "not_entailment")
    assert len(facts.content_digest) == 64
    assert facts.pending_reason is None


def _digest(root: Path, cache: Path, task: str = "glue/rte") -> str | None:
    return task_facts(TaskLibrary(cache, root), task).content_digest


def test_the_same_rows_elsewhere_in_other_dress_have_the_same_digest(root, cache, tmp_path):
    """Order of columns, unused columns, class names for ids, the place: none of it is content."""
    dressed = [
        {
            "label": "entailment" if row["label"] == 0 else 1,
            "x": None,
            **{k: row[k] for k in ("sentence2", "sentence1")},
        }
        for row in RTE
    ]
    write_task(tmp_path / "other", "glue/rte", dressed, dressed[:6])
    assert _digest(tmp_path / "other", cache) == _digest(root, cache)


def test_superglue_rte_is_glue_rte_by_content(root, cache, tmp_path):
    """The same data under other column names is the same content, so nothing is trained twice."""
    renamed = [{"premise": r["sentence1"], "hypothesis": r["sentence2"], "label": r["label"]} for r in RTE]
    write_task(root, "superglue/rte", renamed, renamed[:6])
    assert _digest(root, cache, "superglue/rte") == _digest(root, cache)


@pytest.mark.parametrize(
    "change",
    [
        lambda train, test: (train[:-1], test),
        lambda train, test: (train, test[:-1]),
        lambda train, test: (train[::-1], test),
        lambda train, test: ([train[0] | {"label": 1}, *train[1:]], test),
        lambda train, test: ([train[0] | {"sentence1": "Premise 0"}, *train[1:]], test),
        lambda train, test: ([*train, test[0]], test[1:]),
    ],
)
def test_whatever_decides_a_result_changes_the_digest(root, cache, tmp_path, change):
    write_task(tmp_path / "other", "glue/rte", *change(RTE, RTE[:6]))
    assert _digest(tmp_path / "other", cache) != _digest(root, cache)


def test_text_that_moves_between_columns_changes_the_digest(tmp_path, cache):
    one = [{"sentence1": "a b", "sentence2": "c", "label": i % 2} for i in range(20)]
    two = [{"sentence1": "a", "sentence2": "b c", "label": i % 2} for i in range(20)]
    write_task(tmp_path / "one", "glue/rte", one, one)
    write_task(tmp_path / "two", "glue/rte", two, two)
    assert _digest(tmp_path / "one", cache) != _digest(tmp_path / "two", cache)


def test_a_second_plan_reads_no_rows_and_a_changed_file_is_read(root, cache, monkeypatch):
    before = _digest(root, cache)
    with monkeypatch.context() as patched:
        patched.setattr("adapterlab.data.formats.records", lambda *_, **__: pytest.fail("read twice"))
        patched.setattr("adapterlab.data.file_records.records", lambda *_, **__: pytest.fail("read twice"))
        assert _digest(root, cache) == before
    path = root / "glue/rte/train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"premise 3", b"premise X"))
    assert _digest(root, cache) != before


def test_a_broken_file_is_told_and_not_remembered(root, cache):
    path = root / "glue/rte/train.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    for _ in range(2):
        with pytest.raises(DataError, match=r"train\.jsonl:40"):
            task_facts(TaskLibrary(cache, root), "glue/rte")
    path.write_bytes(content)
    assert _digest(root, cache)


@pytest.mark.parametrize("missing", ["train.jsonl", "validation.jsonl"])
def test_missing_files_are_pending_for_a_plan_and_an_error_for_training(root, cache, missing):
    (root / "glue/rte" / missing).unlink()
    facts = task_facts(TaskLibrary(cache, root), "glue/rte")
    assert facts.content_digest is None
    assert missing in facts.pending_reason
    assert facts.n_train is None
    assert facts.n_labels == 2
    with pytest.raises(NotFoundError, match=missing) as caught:
        TaskLibrary(cache, root).row_source("glue/rte")
    assert caught.value.remedy


def test_without_a_root_a_real_task_is_pending(cache):
    facts = task_facts(TaskLibrary(cache), "glue/stsb")
    assert "data.root is not set" in facts.pending_reason
    assert facts.n_labels == 1
    assert facts.labels == ()


@pytest.mark.parametrize(
    ("task", "says"), [("glue/rtee", "rte"), ("gleu/rte", "glue"), ("glue/mrcp", "mrpc")]
)
def test_an_unknown_task_names_the_nearest(cache, task, says):
    with pytest.raises(NotFoundError) as caught:
        task_facts(TaskLibrary(cache), task)
    assert says in caught.value.remedy


def test_facts_need_no_heavy_library(root, cache):
    """``plan`` starts in half a second: no torch, datasets, sklearn or tokenizers for it."""
    program = f"""
import sys, pathlib
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
for task, root in (("glue/rte", pathlib.Path({str(root)!r})), ("synthetic/nli", None)):
    assert task_facts(TaskLibrary(pathlib.Path({str(cache)!r}), root), task).content_digest
heavy = {{"torch", "transformers", "datasets", "sklearn", "scipy", "tokenizers", "pandas", "numpy"}}
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[]"


# Rows of the official splits: train sizes are Table 5's; validation is its floor plus the rounding
# of ``datasets`` (ceil), as ScaLearn's code really has it.
TABLE_5 = {
    "glue/cola": (7695, 856, 1043),
    "glue/sst2": (60614, 6735, 872),
    "glue/mrpc": (3301, 367, 408),
    "glue/stsb": (5174, 575, 1500),
    "glue/rte": (2241, 249, 277),
    "superglue/cb": (225, 25, 56),
    "superglue/copa": (360, 40, 100),
    "superglue/wic": (4885, 543, 638),
    "superglue/wsc": (498, 56, 104),
    "superglue/multirc": (24518, 2725, 4848),
    "superglue/rte": (2241, 249, 277),
    "adapterfusion/sick": (3995, 444, 495),
    "multilabel/disaster_response": (1873, 463, 2397),  # its own three splits
}


@pytest.mark.parametrize("task", TABLE_5)
def test_the_real_files_have_the_sizes_of_table_5(real_data, cache, task):
    facts = task_facts(TaskLibrary(cache, real_data), task)
    assert (facts.n_train, facts.n_validation, facts.n_test) == TABLE_5[task]


@pytest.mark.parametrize(
    ("rows", "splits", "said"),
    [
        ([*RTE[:20], RTE[1] | {"idx": 99}], "holdout", None),
        (RTE[:3], "holdout", r"3 rows are too few to cut 1 for validation in proportion to 2 classes"),
        ([*RTE[:40:2], RTE[1]], "holdout", r"\(the rarest has 1\)"),
        (RTE[:3], "cut", r"3 rows are too few to cut"),
    ],
)
def test_too_few_rows_to_cut_are_told_by_a_plan(tmp_path, cache, rows, splits, said):
    """What the split would refuse is known when the rows are counted."""
    files = (
        {"train": "train.jsonl", "test": "test.jsonl"} if splits == "holdout" else {"train": "train.jsonl"}
    )
    for name, some in (("train.jsonl", rows), ("test.jsonl", RTE[:6])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    own = TaskSpec(name="mine/t", text=("sentence1", "sentence2"), **files)
    library = TaskLibrary(cache, own_tasks={"mine/t": own}, own_folder=tmp_path)
    if said is None:
        assert task_facts(library, "mine/t").n_validation == 3
        return
    with pytest.raises(DataError, match=said) as refused:
        task_facts(library, "mine/t")
    assert "train.jsonl" in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(("value", "fits"), [(1e18, True), (-1e18, True), (1e20, False), (-1e200, False)])
def test_a_target_whose_square_no_float32_holds_is_refused(tmp_path, cache, value, fits):
    rows = [{"text": f"text {number}", "label": float(number)} for number in range(20)]
    rows[7]["label"] = value
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = TaskSpec(name="mine/t", text=("text",), type="regression", train="train.jsonl")
    library = TaskLibrary(cache, own_tasks={"mine/t": own}, own_folder=tmp_path)
    if fits:
        assert task_facts(library, "mine/t").content_digest
        return
    with pytest.raises(DataError, match=r"train\.jsonl:8: column 'label' is .* squares it in float32"):
        task_facts(library, "mine/t")
