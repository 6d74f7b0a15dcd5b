"""Computing only the states that heads read gives what computing all of them gives there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.adaptation import OwnAdapter, Seat, hidden_states, read_states
from adapterlab.train.passes import gather
from adapterlab.train.rng import stream
from tiny_models import random_encoder, random_examples

METHODS = ("pfeiffer", "houlsby", "compacter_pp", "propetl", "lora", "ia3", "head_only", "full")


def seat_of(name, encoder, seed):
    method = adapter_method(name)
    layer = method.layer(method.settings(), encoder.shape)
    tensors = layer.initial(stream(seed, "init"))
    if name == "full":
        tensors = encoder.weights()
    tensors = {
        key: (one.double() + 0.1 * torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, key)))
        .detach()
        .requires_grad_()
        for key, one in tensors.items()
    }
    return Seat(OwnAdapter(layer), tensors)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(METHODS[:-1]), st.integers(1, 5)), min_size=1, max_size=3),
    st.integers(0, 5),
)
def test_states_are_the_same_for_any_lanes(lanes, seed):
    encoder = random_encoder(layers=2)
    seats = [seat_of(name, encoder, seed + place) for place, (name, _) in enumerate(lanes)]
    rectangles = [
        gather(random_examples(rows, 2, seed=seed + place), torch.arange(rows).numpy())
        for place, (_, rows) in enumerate(lanes)
    ]
    whole = hidden_states(encoder, seats, rectangles)
    for first, states in zip(read_states(encoder, seats, rectangles), whole, strict=True):
        torch.testing.assert_close(first, states[:, 0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_the_same(name):
    encoder = random_encoder(layers=2)
    rectangle = gather(random_examples(6, 2, seed=1), torch.arange(6).numpy())
    seat = seat_of(name, encoder, 3)
    weights = torch.randn(6, encoder.shape.hidden_size, dtype=torch.float64)
    found = []
    for states in (
        read_states(encoder, [seat], [rectangle])[0],
        hidden_states(encoder, [seat], [rectangle])[0][:, 0],
    ):
        total = (states * weights).sum()
        leaves = list(seat.tensors.values())
        found.append(
            torch.autograd.grad(total, leaves, allow_unused=True)
            if total.requires_grad
            else [None] * len(leaves)
        )
    for mine, theirs in zip(*found, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)
