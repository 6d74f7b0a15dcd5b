"""Lanes' tensors side by side: the same numbers, each its own gradient, and no copy where none is needed."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.packing import LaneRows, is_consecutive, linear, stacked
from adapterlab.train.rng import Numbers, dropout, stream
from adapterlab.train.together import lay_together

CPU = torch.device("cpu")


class Holder:
    def __init__(self, seed):
        self.tensors = {
            name: torch.randn(2, 3, generator=stream(seed, name)).requires_grad_() for name in ("a", "head.b")
        }


def test_tensors_that_lie_together_are_stacked_without_a_copy():
    lanes = [Holder(seed) for seed in range(3)]
    before = [lane.tensors["a"].detach().clone() for lane in lanes]
    lay_together(lanes, head=False)
    own = [lane.tensors["a"] for lane in lanes]
    assert all(torch.equal(one, old) for one, old in zip(own, before, strict=True))
    assert all(one.is_leaf and one.requires_grad for one in own)
    assert is_consecutive(own)
    assert not is_consecutive([lane.tensors["head.b"] for lane in lanes])
    assert stacked(own).data_ptr() == own[0].data_ptr()
    assert stacked(own[1:]).data_ptr() == own[1].data_ptr()


@pytest.mark.parametrize("widths", [(2, 2, 2), (1, 4, 2)])
@pytest.mark.parametrize("place", [0, 1])
def test_a_stack_holds_each_lane_and_gives_each_its_gradient(widths, place):
    shapes = [(one, 3) if place == 0 else (3, one) for one in widths]
    lanes = [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes]
    whole = stacked(lanes)
    weights = torch.randn_like(whole)
    gradients = torch.autograd.grad((whole * weights).sum(), lanes)
    for part, weight, lane, gradient in zip(whole, weights, lanes, gradients, strict=True):
        own = tuple(slice(size) for size in lane.shape)
        assert torch.equal(part[own], lane)
        assert part.abs().sum().item() == pytest.approx(lane.abs().sum().item())
        assert torch.equal(gradient, weight[own])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans())
def test_products_of_lanes_are_each_lanes_own(sizes, biased):
    rows = LaneRows(tuple(sizes), CPU)
    x = torch.randn(sum(sizes), 3, dtype=torch.float64).requires_grad_()
    weight = torch.randn(len(sizes), 2, 3, dtype=torch.float64)
    bias = torch.randn(len(sizes), 2, dtype=torch.float64) if biased else None
    got = rows.together(linear(rows.apart(x), weight, bias))
    wanted = torch.cat(
        [
            torch.nn.functional.linear(own, weight[k], None if bias is None else bias[k])
            for k, own in enumerate(x.split(sizes))
        ]
    )
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    mine, theirs = (torch.autograd.grad(one.square().sum(), x)[0] for one in (got, wanted))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("where", [nullcontext, as_on_a_gpu])
def test_a_lanes_numbers_are_those_it_has_alone_however_many_are_drawn(where):
    keys, probabilities, sizes = [11, 12, 13], [0.3, 0.0, 0.6], [3000, 7, 5000]
    with where():
        together, chances = Numbers(keys, CPU).at(2, 1).keep(sizes, probabilities)
        for own, key, probability, chance in zip(
            together.split(sizes), keys, probabilities, chances, strict=True
        ):
            alone, _ = Numbers([key], CPU).at(2, 1).keep([9000], probability)
            assert torch.equal(own, alone[: len(own)])
            assert chance == pytest.approx(1 - probability, abs=1e-4)
            assert (alone == 0).double().mean().item() == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize("where", [nullcontext, as_on_a_gpu])
def test_sites_and_what_is_drawn_next_are_independent(where):
    numbers, x = Numbers([5, 6], CPU), torch.ones(2, 1000)
    with where():
        first = numbers.at(0, 1)
        drawn = [dropout(x, 0.5, one) for one in (first, first, numbers.at(1, 1))]
        assert not any(torch.equal(a, b) for a, b in pairwise(drawn))
        assert torch.equal(dropout(x, 0.5, numbers.at(0, 1)), drawn[0])
    assert not torch.equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize("where", [nullcontext, as_on_a_gpu])
def test_each_lane_drops_by_its_own_probability(where):
    x = torch.ones(3, 20_000, dtype=torch.float64)
    with where():
        got = dropout(x, [0.0, 0.25, 0.75], Numbers([1, 2, 3], CPU).at())
    assert torch.equal(got[0], x[0])
    assert [(one == 0).double().mean().item() for one in got] == pytest.approx([0, 0.25, 0.75], abs=0.02)
    assert [one.max().item() for one in got] == pytest.approx([1, 4 / 3, 4], abs=1e-3)
