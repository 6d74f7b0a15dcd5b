"""Passes hold real tokens only, and padding changes nothing."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.records import Reads
from adapterlab.train.packing import pick, spread
from adapterlab.train.passes import Pass, gather
from tiny_models import random_encoder, random_examples


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 5), st.integers(0, 3))
def test_spreading_and_picking_undo_each_other_and_have_the_plain_gradients(rows, more, seed):
    random = torch.Generator().manual_seed(seed)
    places = torch.randperm(rows + more, generator=random)[:rows].sort().values
    x = torch.randn(rows, 3, dtype=torch.float64, generator=random, requires_grad=True)
    grid = spread(x, places, rows + more)
    assert torch.equal(pick(grid, places), x)
    assert int((grid != 0).any(1).sum()) == rows
    torch.autograd.gradcheck(lambda one: spread(one, places, rows + more), (x,))
    cells = torch.randn(rows + more, 2, dtype=torch.float64, generator=random, requires_grad=True)
    torch.autograd.gradcheck(lambda one: pick(one, places), (cells,))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 9))
def test_a_pass_computes_as_many_rows_as_there_are_tokens(rows, seed):
    """And each sequence's states are those it has alone, where nothing is padded."""
    encoder = random_encoder()
    examples = random_examples(rows, 2, seed=seed)
    together = gather(examples, np.arange(rows))
    batch = Pass((together,))
    assert batch.tokens == int(examples.lengths.sum())
    states = encoder.forward(batch)
    starts = [*batch.rows_read([Reads.FIRST]).tolist(), batch.tokens]
    for row in range(rows):
        alone = encoder.forward(Pass((gather(examples, np.array([row])),)))
        mine = states[starts[row] : starts[row + 1]]
        torch.testing.assert_close(mine, alone, rtol=0, atol=1e-12)
