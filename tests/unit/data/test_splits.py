"""The cut is the papers': the same rows as ``datasets`` gives, for every size and class mix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.data.splits import (
    draw_rows,
    fold_rows,
    split_counts,
    split_indices,
    split_rows,
    validation_rows,
)
from adapterlab.errors import DataError
from adapterlab.records import Examples, ProblemType, Splits
from adapterlab.registry.entry_points import task_definition


@pytest.mark.parametrize("rows", [195, 1000, 2490])
@pytest.mark.parametrize("stratify", [True, False])
def test_the_cut_is_that_of_the_library_on_the_rows_themselves(stratify, rows):
    """The official code splits the rows with the public function; the same rows must come out, in order."""
    from datasets import ClassLabel, Dataset, Features, Value

    labels = [(0, 1, 1, 2, 1)[index * index % 5] for index in range(rows)]
    texts = [f"row {index}" for index in range(len(labels))]
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["a", "b", "c"])})
    reference = Dataset.from_dict({"sentence": texts, "label": labels}, features=features).train_test_split(
        test_size=0.1, shuffle=True, seed=42, stratify_by_column="label" if stratify else None
    )
    train, validation = split_indices("task", labels, ("a", "b", "c"), stratify=stratify)
    assert [texts[index] for index in train] == list(reference["train"]["sentence"])
    assert [texts[index] for index in validation] == list(reference["test"]["sentence"])


@pytest.mark.parametrize("task", ["glue/rte", "glue/stsb", "superglue/cb", "superglue/copa", "superglue/wsc"])
def test_the_real_tasks_are_cut_as_the_official_code_cuts_them(real_data, tmp_path, task):
    """With the library's own reader, columns and call, as ``train_test_split`` is called there."""
    from datasets import ClassLabel, Dataset

    definition = task_definition(task)
    path = real_data / task / "train.jsonl"
    whole = Dataset.from_json(str(path), cache_dir=str(tmp_path))
    if definition.labels:
        whole = whole.cast_column("label", ClassLabel(names=list(definition.labels)))
    column = "label" if definition.stratify else None
    reference = whole.train_test_split(test_size=0.1, shuffle=True, seed=42, stratify_by_column=column)
    labels = np.asarray(whole["label"])
    cut = split_rows(task, definition, labels)
    assert [whole[int(row)]["idx"] for row in cut["train"][:50]] == reference["train"][:50]["idx"]
    assert [whole[int(row)]["idx"] for row in cut["validation"]] == reference["test"]["idx"]


def test_a_task_with_splits_of_its_own_is_not_cut():
    labels = np.arange(20) % 2
    for splits in (Splits.OWN, Splits.SHARED):
        cut = split_rows("t", replace(task_definition("glue/rte"), splits=splits), labels)
        assert list(cut) == ["train"]
        assert cut["train"].tolist() == list(range(20))


@pytest.mark.parametrize("stratify", [True, False])
def test_one_file_is_cut_twice_and_counted_as_cut(stratify):
    definition = replace(task_definition("glue/rte"), splits=Splits.CUT, stratify=stratify)
    cut = split_rows("t", definition, np.arange(205) % 2)
    assert sorted([*cut["train"], *cut["validation"], *cut["test"]]) == list(range(205))
    counts = (len(cut["train"]), len(cut["validation"]), len(cut["test"]))
    assert counts == split_counts(Splits.CUT, [205]) == (165, 19, 21)


def test_label_sets_are_cut_without_proportions():
    definition = replace(task_definition("glue/rte"), problem_type=ProblemType.MULTI_LABEL)
    cut = split_rows("t", definition, np.eye(3, dtype=np.float32)[np.arange(30) % 3])
    assert (len(cut["train"]), len(cut["validation"])) == (27, 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 400), st.integers(2, 4), st.booleans())
def test_every_row_is_in_one_part_and_classes_keep_their_share(rows, classes, stratify):
    labels = [index % classes for index in range(rows)]
    names = [str(index) for index in range(classes)]
    try:
        train, validation = split_indices("task", labels, names, stratify=stratify)
    except DataError:
        assert stratify
        assert validation_rows(rows) < classes
        return
    assert sorted([*train, *validation]) == list(range(rows))
    assert len(validation) == validation_rows(rows) == -(-rows // 10)
    if stratify:
        shares = np.bincount([labels[index] for index in validation], minlength=classes)
        assert shares.max() - shares.min() <= 1


def test_a_regression_is_cut_without_classes():
    train, validation = split_indices("task", [0.5] * 31, (), stratify=False)
    assert (len(train), len(validation)) == (27, 4)


@pytest.mark.parametrize(
    ("labels", "stratify"), [([0], False), ([0, 1, 1, 1, 1], True), ([0] * 10 + [1] * 5 + [2] * 4, True)]
)
def test_too_few_rows_are_told_with_numbers(labels, stratify):
    with pytest.raises(DataError, match=f"{len(labels)} rows are too few") as caught:
        split_indices("glue/x", labels, ("a", "b", "c"), stratify=stratify)
    assert caught.value.remedy


# -- few rows ---------------------------------------------------------------------------------------

CLASSES = ProblemType.CLASSIFICATION


def numbered(labels: np.ndarray, *, choices: int = 1) -> Examples:
    """Return examples whose first token is their own number, of growing length."""
    lengths = [2 + (n % 3) for n in range(len(labels) * choices)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.concatenate([np.full(length, n) for n, length in enumerate(lengths)]).astype(np.int32)
    extras = [{"row": n} for n in range(len(labels))]
    return Examples(tokens, tokens % 2, offsets, labels, choices, np.arange(len(labels)), extras)


def rows_of(drawn: Examples) -> list[int]:
    return [int(extra["row"]) for extra in drawn.extras or ()]


def test_a_draw_is_its_seeds_own_and_stays_the_same():
    whole = numbered(np.arange(100) % 2)
    draws = [rows_of(draw_rows("t", whole, CLASSES, 16, seed)) for seed in range(5)]
    assert all(len(set(draw)) == 16 for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 5
    assert rows_of(draw_rows("t", whole, CLASSES, 16, 3)) == draws[3]


@pytest.mark.parametrize("choices", [1, 3])
def test_an_example_comes_with_all_that_belongs_to_it(choices):
    whole = numbered(np.arange(20) % 2, choices=choices)
    drawn = draw_rows("t", whole, ProblemType.MULTIPLE_CHOICE, 5, 0)
    assert len(drawn) == 5
    assert drawn.labels.tolist() == [row % 2 for row in rows_of(drawn)]
    assert drawn.groups.tolist() == rows_of(drawn)
    first = drawn.token_ids[drawn.offsets[:-1]].tolist()
    assert first == [row * choices + choice for row in rows_of(drawn) for choice in range(choices)]
    assert drawn.offsets[-1] == len(drawn.token_ids) == len(drawn.type_ids)


def test_a_rare_class_is_drawn_in_the_end():
    """Of 100 rows one is of the other class: most draws of four would have one class only."""
    whole = numbered((np.arange(100) == 50).astype(np.int64))
    for seed in range(5):
        assert set(draw_rows("t", whole, CLASSES, 4, seed).labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (CLASSES, np.zeros(30, dtype=np.int64)),
        (ProblemType.REGRESSION, np.full(30, 2.5, dtype=np.float32)),
        (ProblemType.MULTI_LABEL, np.ones((30, 2), dtype=np.float32)),
    ],
)
def test_one_label_only_is_refused(kind, labels):
    with pytest.raises(DataError, match="one label only") as caught:
        draw_rows("mine/own", numbered(labels), kind, 4, 0)
    assert "few_shot" in str(caught.value.remedy)


def _rows(labels, groups=None) -> Examples:
    ids = np.arange(len(labels), dtype=np.int32)
    return Examples(ids, ids % 2, np.arange(len(labels) + 1), np.asarray(labels), groups=groups)


@pytest.mark.parametrize("kind", [ProblemType.CLASSIFICATION, ProblemType.REGRESSION])
def test_every_row_validates_in_one_fold_and_trains_in_the_others(kind):
    examples = _rows([0, 0, 0, 1] * 10)
    folds = fold_rows(examples, kind, 5)
    held_out = [one.token_ids.tolist() for _, one in folds]
    assert sorted(row for some in held_out for row in some) == list(range(40))
    for (train, validation), again in zip(folds, fold_rows(examples, kind, 5), strict=True):
        assert set(train.token_ids.tolist()).isdisjoint(validation.token_ids.tolist())
        assert len(train) + len(validation) == 40
        assert again[1].token_ids.tolist() == validation.token_ids.tolist()
        if kind is ProblemType.CLASSIFICATION:
            assert validation.labels.mean() == 0.25


def test_rows_of_one_group_are_in_one_fold():
    groups = np.repeat(np.arange(6), 3)
    for train, validation in fold_rows(_rows([0, 1, 1] * 6, groups), ProblemType.CLASSIFICATION, 3):
        assert set(train.groups.tolist()).isdisjoint(validation.groups.tolist())
    with pytest.raises(DataError, match="6 groups of rows are too few for 7 folds"):
        fold_rows(_rows([0, 1, 1] * 6, groups), ProblemType.CLASSIFICATION, 7)


def test_a_class_rarer_than_there_are_folds_is_no_error():
    folds = fold_rows(_rows([0] * 9 + [1]), ProblemType.CLASSIFICATION, 5)
    assert [len(validation) for _, validation in folds] == [2] * 5
