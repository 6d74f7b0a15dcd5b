"""AdapterFusion without any source's output, key or value is the paper's formula, gradients and all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.records import PoolShape, Site, TrainSettings
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination
from adapterlab.train.lane import transfer_lane
from adapterlab.train.layers import FrozenPool
from adapterlab.train.loop import train_lanes
from adapterlab.train.rng import dropout as drop
from adapterlab.train.rng import stream
from adapterlab.train.step import gradients_of
from adapterlab.train.token_means import TokenMeans
from adapterlab_adapterfusion.plugin import ADAPTERFUSION, AdapterFusionSettings
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from tiny_models import random_encoder, random_task

METHOD = PfeifferSettings(reduction_factor=4)


def layer_of(points, sources, d, e=None, *, dropout=0.0, regulariser=0.01):
    pool = PoolShape(points, (Site("ffn", d, e or d),), sources)
    return ADAPTERFUSION.layer(AdapterFusionSettings(value_regulariser=regulariser), pool, dropout=dropout)


def problem(sources, r, d, e, rows, seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    pool = FrozenPool({}, normal(sources, e, r) / r**0.5, normal(sources, e))
    tensors = {
        name: (one.double() + normal(*one.shape) / d).requires_grad_()
        for name, one in layer_of(1, sources, d, e).initial(stream(seed, "fusion")).items()
    }
    return pool, tensors, normal(rows, d).requires_grad_(), normal(rows, sources * r).requires_grad_()


def by_the_paper(tensors, pool, x, h, p, generator):
    """Every u, key and value in full."""
    count, _, r = pool.up.shape
    u = torch.einsum("ntr,tdr->ntd", h.unflatten(1, (count, r)), pool.up) + pool.bias
    base = "layer.0."
    query = F.linear(x, tensors[f"{base}query.weight"], tensors[f"{base}query.bias"])
    keys = F.linear(u, tensors[f"{base}key.weight"], tensors[f"{base}key.bias"])
    values = F.linear(u, tensors[f"{base}value.weight"])
    scores = torch.einsum("nd,ntd->nt", query, keys)
    weights = drop(scores, p, generator).softmax(1)
    return torch.einsum("nt,ntd->nd", weights, values)


@settings(max_examples=25, deadline=None)
@given(
    sources=st.sampled_from([1, 2, 64]),
    r=st.integers(1, 6),
    d=st.integers(2, 24),
    e=st.integers(2, 24),
    rows=st.integers(1, 9),
    p=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 10_000),
)
def test_folded_is_unfolded(sources, r, d, e, rows, p, seed):
    """With score dropout as well, where the key's bias does not cancel; inputs and outputs of any width."""
    pool, tensors, x, h = problem(sources, r, d, e, rows, seed)
    leaves = [x, h, *tensors.values()]
    layer = layer_of(1, sources, d, e, dropout=p)
    folded = layer.forward(tensors, 0, pool, x, h, generator=torch.Generator().manual_seed(1))
    whole = by_the_paper(tensors, pool, x, h, p, torch.Generator().manual_seed(1))
    torch.testing.assert_close(folded, whole, rtol=1e-12, atol=1e-12)
    aim = torch.randn(folded.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    got = torch.autograd.grad((folded * aim).sum(), leaves, allow_unused=True)
    wanted = torch.autograd.grad((whole * aim).sum(), leaves, allow_unused=True)
    scale = max(1.0, *(float(one.abs().max()) for one in wanted if one is not None))
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12 * scale)


def test_it_starts_as_the_paper_does():
    tensors = layer_of(2, 3, 64).initial(stream(0, "fusion"))
    value = tensors["layer.1.value.weight"]
    assert torch.equal(value.diag(), torch.ones(64))
    assert float((value - value.diag().diag()).max()) == pytest.approx(1e-6)
    assert float(tensors["layer.0.query.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert not tensors["layer.0.key.bias"].any()
    assert not torch.equal(tensors["layer.0.query.weight"], tensors["layer.1.query.weight"])


def test_only_values_are_spared_from_weight_decay():
    layer = layer_of(1, 2, 4)
    spared = [name for name in layer.initial(stream(0, "x")) if not layer.decays(name)]
    assert spared == ["layer.0.value.weight"]


def test_the_regulariser_can_be_switched_off():
    assert layer_of(1, 2, 4, regulariser=0.0).penalty({}) is None
    assert ADAPTERFUSION.settings().model_dump() == {"value_regulariser": 0.01}


def test_mean_attention_is_over_all_passes_tokens():
    means = TokenMeans(1)
    means.observe(0, torch.tensor([[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]]))
    means.observe(0, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(means.values, torch.tensor([[[0.55], [0.45]]]))


# -- in training --------------------------------------------------------------------------------------

ENCODER = random_encoder(layers=2, d=16, dropout=0.0)
TRAIN = TrainSettings(
    lr=1e-2,
    max_epochs=2,
    patience=2,
    batch_size=6,
    weight_decay=0.5,
    backbone_dropout=False,
    head_dropout=0.0,
)


def fusion_lane(regulariser):
    method = PFEIFFER.layer(METHOD, ENCODER.shape)
    adapters = [
        {
            name: torch.randn(one.shape, generator=stream(seed, name))
            for name, one in method.initial(stream(seed, "pool")).items()
        }
        for seed in range(2)
    ]
    return transfer_lane(
        ENCODER,
        Combination(
            SourcePool.build(method, adapters, ENCODER),
            layer_of(2, 2, 16, dropout=0.1, regulariser=regulariser),
            token_dependent=True,
        ),
        random_task(),
        TRAIN,
        seed=0,
        name="fusion",
        sees_test=True,
    )


def test_the_value_regulariser_is_part_of_the_loss_that_is_clipped():
    """In the very step it belongs to, with the other gradients under one norm."""
    with_it, without = fusion_lane(3.0), fusion_lane(0.0)
    for lane in (with_it, without):
        with torch.no_grad():
            lane.tensors["layer.0.value.weight"][0, 0] = 5.0
    losses, gradients = [], []
    for lane in (with_it, without):
        loss, (gradient,) = gradients_of(ENCODER, [lane.next_step()])
        losses.append(loss.item())
        gradients.append(gradient["layer.0.value.weight"])
    wanted = layer_of(2, 2, 16, regulariser=3.0).penalty(with_it.tensors)
    assert losses[0] - losses[1] == pytest.approx(wanted.item())
    difference = gradients[0] - gradients[1]
    assert float(difference[0, 0]) == pytest.approx(2 * 3.0 * 4.0)


def test_weight_decay_spares_the_values_only():
    lane = fusion_lane(0.0)
    lane.settings = replace(lane.settings, weight_decay=0.1)
    updates = lane.updates({name: one.detach() for name, one in lane.tensors.items()})
    assert len(updates) == len(lane.tensors)
    assert [one.tensor.shape for one in updates if one.weight_decay == 0] == [(16, 16)] * 2
    assert {one.weight_decay for one in updates} == {0.0, 0.1}


def test_a_final_run_brings_the_mean_attention_of_the_test_split():
    waiting = [fusion_lane(0.01)]
    (result,) = train_lanes(
        ENCODER, lambda: waiting.pop() if waiting else None, capacity=1, on_epoch=lambda *_: True
    )
    means = result.mean_coefficients
    assert means.shape == (2, 2, 1)
    torch.testing.assert_close(means.sum(1), torch.ones(2, 1))
    assert not torch.allclose(means, torch.full((2, 2, 1), 0.5), atol=1e-4)
