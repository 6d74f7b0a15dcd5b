"""Batches hold every row once, and hardly any padding."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.train.passes import epoch_batches, evaluation_rectangles, gather
from tiny_models import random_choices, random_examples


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 9))
def test_an_epoch_holds_every_row_once(lengths, batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    batches = epoch_batches(np.array(lengths), batch_size, generator)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(len(batch) for batch in batches) <= batch_size
    assert len(batches) == -(-len(lengths) // batch_size)


def test_batches_differ_from_epoch_to_epoch():
    generator = torch.Generator().manual_seed(0)
    lengths = np.random.default_rng(0).integers(5, 100, 200)
    first, second = (
        {tuple(sorted(batch.tolist())) for batch in epoch_batches(lengths, 16, generator)} for _ in range(2)
    )
    assert not first & second


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 200))
def test_evaluation_sees_every_row_once_within_its_budget(rows, budget):
    examples = random_examples(rows, 2, seed=rows)
    rectangles = list(evaluation_rectangles(examples, budget))
    assert sorted(np.concatenate([one.rows for one in rectangles]).tolist()) == list(range(rows))
    assert all(one.tokens <= budget or len(one.rows) == 1 for one in rectangles)


def test_a_rectangle_holds_the_rows_tokens_and_zeros_behind_them():
    examples = random_examples(9, 3, seed=2)
    rows = np.array([4, 0, 7])
    rectangle = gather(examples, rows)
    for i, row in enumerate(rows):
        wanted = examples.token_ids[examples.offsets[row] : examples.offsets[row + 1]]
        assert rectangle.token_ids[i, : len(wanted)].tolist() == wanted.tolist()
        assert rectangle.token_ids[i, len(wanted) :].sum() == 0
        assert rectangle.labels[i] == examples.labels[row]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(2, 5), st.integers(1, 200))
def test_an_example_of_several_choices_is_never_split(rows, choices, budget):
    examples = random_choices(rows, choices, seed=rows)
    rectangles = list(evaluation_rectangles(examples, budget))
    assert sorted(np.concatenate([one.rows for one in rectangles]).tolist()) == list(range(rows))
    for one in rectangles:
        assert len(one.token_ids) == len(one.rows) * choices
        assert one.tokens <= budget or len(one.rows) == 1


def test_the_choices_of_an_example_lie_one_below_the_other():
    examples = random_choices(6, 3, seed=1)
    rows = np.array([5, 0])
    rectangle = gather(examples, rows)
    for i, row in enumerate(rows):
        assert rectangle.labels[i] == examples.labels[row]
        for choice in range(3):
            sequence = row * 3 + choice
            wanted = examples.token_ids[examples.offsets[sequence] : examples.offsets[sequence + 1]]
            assert rectangle.token_ids[3 * i + choice, : len(wanted)].tolist() == wanted.tolist()
