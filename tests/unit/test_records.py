"""The values that cross doors say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from adapterlab.records import BackboneFacts, row_length
from tiny_models import random_examples


@pytest.mark.parametrize("rows", [1, 4, 9, 10, None])
def test_the_first_rows_are_the_same_rows(rows):
    examples = random_examples(9, 2, seed=0)
    first = examples.first(rows)
    assert len(first) == min(rows or 9, 9)
    for index in range(len(first)):
        one = first.token_ids[first.offsets[index] : first.offsets[index + 1]]
        same = examples.token_ids[examples.offsets[index] : examples.offsets[index + 1]]
        assert np.array_equal(one, same)
    assert np.array_equal(first.labels, examples.labels[: len(first)])


def test_a_backbone_without_digests_has_no_identity():
    unknown = BackboneFacts("hub:x/y", None, None, None, None, None, None, "not downloaded")
    with pytest.raises(ValueError, match="not downloaded"):
        unknown.identity()


def test_a_tasks_own_length_is_for_the_default_only():
    assert row_length(128, 324) == 324
    assert row_length(64, 324) == 64
    assert row_length(128, None) == 128
    assert row_length(256, None) == 256
