"""Computing only the states that heads read gives what computing all of them gives there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.records import ProblemType, Reads
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.adaptation import OwnAdapter, Seat, hidden_states, read_states
from adapterlab.train.layers import HeadLayer
from adapterlab.train.passes import gather
from adapterlab.train.rng import stream
from tiny_decoder import TinyDecoder
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


# -- what heads read ----------------------------------------------------------------------------------


class Reading(HeadLayer):
    """A head that returns what it is given."""

    def initial(self, generator):
        del generator
        return {}

    def forward(self, tensors, states, lengths, *, dropout, generator):
        del tensors, lengths, dropout, generator
        return states


def of_all(states, lengths, reads):
    """What a head reads of a lane's states at every token, (B, S, d)."""
    rows = [one[:length] for one, length in zip(states, lengths.tolist(), strict=True)]
    if reads is Reads.EVERY:
        return torch.cat(rows)
    picked = {
        Reads.FIRST: lambda one: one[0],
        Reads.LAST: lambda one: one[-1],
        Reads.MEAN: lambda one: one.mean(0),
    }
    return torch.stack([picked[reads](one) for one in rows])


BACKBONES = {"encoder": random_encoder(layers=2), "decoder": TinyDecoder()}
LANES = st.tuples(
    st.sampled_from(["lora", "ia3", "houlsby", "head_only"]), st.integers(1, 5), st.sampled_from(list(Reads))
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(BACKBONES)), st.lists(LANES, min_size=1, max_size=4), st.integers(0, 5))
def test_each_head_reads_what_it_says_of_the_states_of_all_tokens(name, lanes, seed):
    """First, last, mean or every token, whatever the lanes beside it read."""
    backbone = BACKBONES[name]
    seats = [
        replace(seat_of(method, backbone, seed + place), head=Reading(ProblemType.CLASSIFICATION, reads))
        for place, (method, _, reads) in enumerate(lanes)
    ]
    rectangles = [
        gather(random_examples(rows, 2, seed=seed + place), torch.arange(rows).numpy())
        for place, (_, rows, _) in enumerate(lanes)
    ]
    whole = hidden_states(backbone, seats, rectangles)
    read = read_states(backbone, seats, rectangles)
    for got, states, rectangle, (_, rows, reads) in zip(read, whole, rectangles, lanes, strict=True):
        wanted = of_all(states, rectangle.lengths, reads)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)
        assert len(got) == (rectangle.tokens if reads is Reads.EVERY else rows)


@pytest.mark.parametrize("reads", Reads)
@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_are_the_same_whatever_is_read(name, reads):
    backbone = BACKBONES[name]
    rectangle = gather(random_examples(6, 2, seed=1), torch.arange(6).numpy())
    seat = replace(seat_of("lora", backbone, 3), head=Reading(ProblemType.CLASSIFICATION, reads))
    leaves = list(seat.tensors.values())
    (read,) = read_states(backbone, [seat], [rectangle])
    (whole,) = hidden_states(backbone, [seat], [rectangle])
    weights = torch.randn(read.shape, dtype=torch.float64)
    mine = torch.autograd.grad((read * weights).sum(), leaves)
    theirs = torch.autograd.grad((of_all(whole, rectangle.lengths, reads) * weights).sum(), leaves)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_only_wanted_tokens_are_computed_in_the_last_layer_where_every_head_reads_one():
    """The backbone is asked for rows if all lanes read first or last ones, and for all of them else."""
    backbone, asked = BACKBONES["decoder"], []

    class Watched(TinyDecoder):
        def forward(self, batch, hook=None, generators=None, *, rows=None):
            asked.append(None if rows is None else len(rows))
            return super().forward(batch, hook, generators, rows=rows)

    watched = Watched()
    rectangle = gather(random_examples(4, 2, seed=1), torch.arange(4).numpy())
    for reads in ((Reads.FIRST, Reads.LAST), (Reads.FIRST, Reads.MEAN), (Reads.LAST, Reads.EVERY)):
        seats = [
            replace(seat_of("lora", backbone, place), head=Reading(ProblemType.CLASSIFICATION, one))
            for place, one in enumerate(reads)
        ]
        read_states(watched, seats, [rectangle] * 2)
    assert asked == [8, None, None]
