"""The cut is the papers': the same rows as ``datasets`` gives, for every size and class mix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.data.split import split_indices, validation_rows
from adapterlab.errors import DataError


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
