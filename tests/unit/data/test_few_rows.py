"""Few rows, drawn anew for every seed: the same for the same seed, and never of one label only."""

from __future__ import annotations

import numpy as np
import pytest

from adapterlab.data.few_rows import drawn_rows
from adapterlab.errors import DataError
from adapterlab.records import Examples, ProblemType

CLASSES = ProblemType.CLASSIFICATION


def examples(labels: np.ndarray, *, choices: int = 1) -> Examples:
    """Return examples whose first token is their own number, of growing length."""
    lengths = [2 + (n % 3) for n in range(len(labels) * choices)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.concatenate([np.full(length, n) for n, length in enumerate(lengths)]).astype(np.int32)
    extras = [{"row": n} for n in range(len(labels))]
    return Examples(tokens, tokens % 2, offsets, labels, choices, np.arange(len(labels)), extras)


def rows_of(drawn: Examples) -> list[int]:
    return [int(extra["row"]) for extra in drawn.extras or ()]


def test_a_draw_is_its_seeds_own_and_stays_the_same():
    whole = examples(np.arange(100) % 2)
    draws = [rows_of(drawn_rows("t", whole, CLASSES, 16, seed)) for seed in range(5)]
    assert all(len(set(draw)) == 16 for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 5
    assert rows_of(drawn_rows("t", whole, CLASSES, 16, 3)) == draws[3]


@pytest.mark.parametrize("choices", [1, 3])
def test_an_example_comes_with_all_that_belongs_to_it(choices):
    whole = examples(np.arange(20) % 2, choices=choices)
    drawn = drawn_rows("t", whole, ProblemType.MULTIPLE_CHOICE, 5, 0)
    assert len(drawn) == 5
    assert drawn.labels.tolist() == [row % 2 for row in rows_of(drawn)]
    assert drawn.groups.tolist() == rows_of(drawn)
    first = drawn.token_ids[drawn.offsets[:-1]].tolist()
    assert first == [row * choices + choice for row in rows_of(drawn) for choice in range(choices)]
    assert drawn.offsets[-1] == len(drawn.token_ids) == len(drawn.type_ids)


def test_a_rare_class_is_drawn_in_the_end():
    """Of 100 rows one is of the other class: most draws of four would have one class only."""
    whole = examples((np.arange(100) == 50).astype(np.int64))
    for seed in range(5):
        assert set(drawn_rows("t", whole, CLASSES, 4, seed).labels.tolist()) == {0, 1}


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
        drawn_rows("mine/own", examples(labels), kind, 4, 0)
    assert "few_shot" in str(caught.value.remedy)
