"""A combination without a source is what it would be with that source's coefficients at zero."""

from __future__ import annotations

import pytest
import torch

from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.train.ablation import without_each
from adapterlab.train.adaptation import OwnAdapter, Seat, SourcePool, hidden_states
from adapterlab.train.combination import Combination, combiner_layer, pool_for
from adapterlab.train.fold import fold
from adapterlab.train.layers import Coefficients
from adapterlab.train.passes import gather
from adapterlab.train.rng import stream
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from tiny_decoder import TinyDecoder
from tiny_models import random_encoder, random_examples

SOURCES = 3
SHAPE = random_encoder().shape
PFEIFFER_LAYER = PFEIFFER.layer(PfeifferSettings(reduction_factor=4), SHAPE)
POOL = PFEIFFER.pool(PfeifferSettings(reduction_factor=4), SHAPE, SOURCES)
ROWS = random_examples(6, 2, seed=3)


@pytest.fixture
def backbone():
    return random_encoder()


def adapters():
    return tuple(
        {name: torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, name)) * 0.3
         for name, one in PFEIFFER_LAYER.initial(stream(seed, "adapter")).items()}
        for seed in range(SOURCES)
    )  # fmt: skip


def learned_of(mixer):
    return {
        name: torch.randn(one.shape, dtype=torch.float64, generator=stream(1, name))
        for name, one in mixer.initial(stream(0, "combiner init")).items()
    }


def layer_of(kind, pool=POOL):
    plugin = combiner(kind)
    return combiner_layer(plugin, plugin.settings(), pool, {"dropout": 0.0})


def parts(backbone, kind):
    mixer, pool = layer_of(kind), adapters()
    learned = learned_of(mixer)
    stacked = pool_for(mixer, learned, PFEIFFER_LAYER, pool, backbone)
    whole = Combination(stacked, mixer, token_dependent=combiner(kind).token_dependent)
    return whole, without_each(whole, learned, pool, backbone), learned, pool


def states(backbone, adaptations, tensors):
    """Run lanes together, as evaluation does."""
    rectangle = gather(ROWS, torch.arange(len(ROWS)).numpy())
    seats = [Seat(one, tensors) for one in adaptations]
    return hidden_states(backbone, seats, [rectangle] * len(seats))


@pytest.mark.parametrize("kind", ["scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp"])
def test_it_equals_coefficients_of_zero(backbone, kind):
    whole, reduced, learned, _ = parts(backbone, kind)
    together = states(backbone, [whole, *reduced], learned)
    for t, got in enumerate(together[1:]):
        omega = learned["omega"].clone()
        omega[:, t] = 0
        (wanted,) = states(backbone, [whole], {"omega": omega})
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
        assert (got - together[0]).abs().max() > 1e-3, "every source matters here"


def test_attention_is_spread_over_the_others(backbone):
    """The same queries, keys and values on a pool that never had the source."""
    whole, reduced, learned, pool = parts(backbone, "adapterfusion")
    together = states(backbone, [whole, *reduced], learned)
    for t, got in enumerate(together[1:]):
        others = [one for place, one in enumerate(pool) if place != t]
        smaller = SourcePool.build(PFEIFFER_LAYER, others, backbone)
        alone = Combination(smaller, layer_of("adapterfusion", smaller.shape))
        (wanted,) = states(backbone, [alone], learned)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_a_normalised_coefficient_is_zeroed_after_normalising(backbone):
    """With softmax over sources a raw zero is no zero: the effective coefficient is what goes."""
    whole, reduced, learned, _ = parts(backbone, "scalearn_softmax")
    effective = torch.stack(whole.combiner.coefficients(learned).rows)
    free = Combination(whole.pool, layer_of("scalearn"))
    for t, adaptation in enumerate(reduced):
        omega = effective.clone()
        omega[:, t] = 0
        (got,) = states(backbone, [adaptation], learned)
        (wanted,) = states(backbone, [free], {"omega": omega})
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_lanes_share_the_pools_inner_products(backbone):
    whole, reduced, _, _ = parts(backbone, "scalearn")
    assert {one.group for one in reduced} == {whole.group}


@pytest.mark.parametrize("kind", ["scalearn", "scalearn_pp", "scalearn_softmax", "adapterfusion"])
def test_a_source_can_be_left_out_where_sites_differ_in_width(kind):
    """LoRA on a decoder whose values are half as wide as its queries: as if its output were zero."""
    decoder, lora = TinyDecoder(), adapter_method("lora")
    settings = lora.settings(r=2)
    method, shape = lora.layer(settings, decoder.shape), lora.pool(settings, decoder.shape, SOURCES)
    pool = [
        {name: torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, name)) / 3
         for name, one in method.initial(stream(seed, "adapter")).items()}
        for seed in range(SOURCES)
    ]  # fmt: skip
    mixer = layer_of(kind, shape)
    learned = learned_of(mixer)
    stacked = pool_for(mixer, learned, method, pool, decoder)
    whole = Combination(stacked, mixer, token_dependent=kind == "adapterfusion")
    together = states(decoder, [whole, *without_each(whole, learned, pool, decoder)], learned)
    for t, got in enumerate(together[1:]):
        others = [one for place, one in enumerate(pool) if place != t]
        if whole.token_dependent:
            smaller = SourcePool.build(method, others, decoder)
            (wanted,) = states(decoder, [Combination(smaller, layer_of(kind, smaller.shape))], learned)
        else:
            omega = mixer.coefficients(learned)
            zeroed = [row.index_fill(0, torch.tensor([t]), 0.0) for row in omega.rows]
            folded = fold(method, pool, Coefficients(tuple(zeroed)))
            (wanted,) = states(decoder, [OwnAdapter(method)], folded.tensors)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)
        assert (got - together[0]).abs().max() > 1e-3
