"""A folded combination computes what the pool and its coefficients compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.errors import DataError, UsageError
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.train.adaptation import Adaptation, OwnAdapter, Seat, SourcePool, hidden_states
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.fold import fold
from adapterlab.train.layers import Coefficients, MethodLayer, PoolContext
from adapterlab.train.passes import Pass, gather
from adapterlab.train.rng import stream
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_encoder.config import encoder_shape
from adapterlab_scalearn.plugin import SCALEARN, ScaLearnSettings
from tiny_decoder import TinyDecoder
from tiny_models import random_encoder, random_examples

CLOSE = {"rtol": 0, "atol": 1e-12}


def pfeiffer(layers, d, kind="relu"):
    """Pfeiffer adapters on a backbone of a size; how wide they are, each adapter's tensors say."""
    return PFEIFFER.layer(PfeifferSettings(non_linearity=kind), encoder_shape(layers, d, 4 * d))


def scalearn(pool):
    return SCALEARN.layer(ScaLearnSettings(), pool, init_scale=2.0, dropout=0.0)


def adapter(width, layers, d, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"down.weight": (width, d), "down.bias": (width,), "up.weight": (d, width), "up.bias": (d,)}
    return {
        f"layer.{layer}.{part}": (torch.randn(shape, generator=generator, dtype=torch.float64) / d**0.5).to(
            dtype
        )
        for layer in range(layers)
        for part, shape in shapes.items()
    }


def random_omega(size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def combined(pool, omega, method, layer, x):
    """What the engine computes in training, unfolded."""
    stacked = method.stack(pool, "ffn", layer)
    h = method.inner(stacked, x)
    mixer = scalearn(PFEIFFER.pool(PfeifferSettings(), method.shape, len(pool)))
    return mixer.forward({"omega": omega}, layer, stacked, x, h, generator=None)


def by_hand(pool, omega, method, layer, x):
    """What the papers write: every source's output, scaled and summed."""
    row = omega[layer if omega.shape[0] > 1 else 0]
    return sum(row[t] * method.forward(one, "ffn", layer, x, x) for t, one in enumerate(pool))


@settings(max_examples=60, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    layers=st.integers(1, 4),
    d=st.integers(1, 24),
    per_layer=st.booleans(),
    per_dimension=st.booleans(),
    kind=st.sampled_from(["relu", "gelu"]),
    seed=st.integers(0, 99),
)
def test_one_adapter_computes_what_the_pool_computes(widths, layers, d, per_layer, per_dimension, kind, seed):
    """Any number of sources, widths that differ, any of the four shapes of coefficients."""
    method = pfeiffer(layers, d, kind)
    pool = [adapter(width, layers, d, seed + t) for t, width in enumerate(widths)]
    omega = random_omega((layers if per_layer else 1, len(pool), d if per_dimension else 1), seed)
    folded = fold(method, pool, Coefficients.of(omega))
    x = torch.randn(5, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for layer in range(layers):
        got = method.forward(folded.tensors, "ffn", layer, x, x)
        torch.testing.assert_close(got, combined(pool, omega, method, layer, x), **CLOSE)
        torch.testing.assert_close(got, by_hand(pool, omega, method, layer, x), **CLOSE)
        assert folded.tensors[f"layer.{layer}.down.bias"].shape == (sum(widths),)


@pytest.mark.parametrize("sources", [1, 64])
def test_a_pool_of_one_and_of_sixty_four(sources):
    method = pfeiffer(2, 16)
    pool = [adapter(3, 2, 16, t) for t in range(sources)]
    omega = random_omega((2, sources, 16))
    folded = fold(method, pool, Coefficients.of(omega)).tensors
    x = torch.randn(7, 16, dtype=torch.float64)
    for layer in range(2):
        got = method.forward(folded, "ffn", layer, x, x)
        torch.testing.assert_close(got, combined(pool, omega, method, layer, x), rtol=1e-12, atol=1e-12)
    assert folded["layer.1.up.weight"].shape == (16, 3 * sources)


def test_through_the_whole_backbone():
    encoder, method = random_encoder(layers=3, d=16), pfeiffer(3, 16)
    pool = [adapter(4, 3, 16, t) for t in range(3)]
    omega = random_omega((3, 3, 1))
    folded = fold(method, pool, Coefficients.of(omega)).tensors
    rectangle = gather(random_examples(6, 2, seed=1), np.arange(6))
    stacked = SourcePool.build(method, pool, encoder)
    apart = Seat(Combination(stacked, scalearn(stacked.shape)), {"omega": omega})
    one = Seat(OwnAdapter(method), folded)
    states = [hidden_states(encoder, [seat], [rectangle])[0] for seat in (apart, one)]
    torch.testing.assert_close(states[0], states[1], **CLOSE)
    plain = encoder.forward(Pass((rectangle,)))
    assert not torch.allclose(rectangle.packed(states[0].sum(-1)), plain.sum(-1))


def test_a_folded_combination_can_be_a_source_again():
    method = pfeiffer(2, 8)
    pool = [adapter(2, 2, 8, t) for t in range(3)]
    inner, outer = random_omega((1, 2, 8), 1), random_omega((2, 2, 1), 2)
    first = fold(method, pool[:2], Coefficients.of(inner)).tensors
    twice = fold(method, [first, pool[2]], Coefficients.of(outer)).tensors
    x = torch.randn(4, 8, dtype=torch.float64)
    for layer in range(2):
        wanted = outer[layer, 0] * by_hand(pool[:2], inner, method, layer, x)
        wanted = wanted + outer[layer, 1] * method.forward(pool[2], "ffn", layer, x, x)
        torch.testing.assert_close(method.forward(twice, "ffn", layer, x, x), wanted, **CLOSE)


def test_sources_that_contribute_nothing_are_left_out_exactly():
    method = pfeiffer(2, 8)
    pool = [adapter(3, 2, 8, t) for t in range(3)]
    omega = random_omega((2, 3, 8))
    omega[:, 1] = 0  # nowhere
    omega[1] = 0  # and nothing at all in the second layer
    folded = fold(method, pool, Coefficients.of(omega))
    assert folded.kept == ((0, 2), ())
    assert folded.dropped == (1,)
    assert folded.largest_dropped == 0
    x = torch.randn(4, 8, dtype=torch.float64)
    for layer in range(2):
        got = method.forward(folded.tensors, "ffn", layer, x, x)
        torch.testing.assert_close(got, by_hand(pool, omega, method, layer, x), **CLOSE)
    assert not method.forward(folded.tensors, "ffn", 1, x, x).any()


def test_a_tolerance_leaves_out_small_coefficients_and_says_how_large_they_were():
    method = pfeiffer(1, 4)
    pool = [adapter(3, 1, 4, t) for t in range(3)]
    omega = torch.tensor([[[0.9, 0, 0, 0], [0.01, -0.04, 0, 0], [0.05, 0, 0, 0.0]]], dtype=torch.float64)
    assert fold(method, pool, Coefficients.of(omega)).kept == ((0, 1, 2),)
    folded = fold(method, pool, Coefficients.of(omega), tolerance=0.04)
    assert folded.kept == ((0, 2),)
    assert folded.largest_dropped == pytest.approx(0.04)
    assert folded.tensors["layer.0.down.bias"].shape == (6,)


def test_precision_is_that_of_the_sources_and_rounding_happens_once():
    method = pfeiffer(1, 8)
    pool = [adapter(3, 1, 8, t, torch.float32) for t in range(2)]
    omega = random_omega((1, 2, 8))
    folded = fold(method, pool, Coefficients.of(omega.float())).tensors
    assert {tensor.dtype for tensor in folded.values()} == {torch.float32}
    exact = omega.float().double()[0, 0, :, None] * pool[0]["layer.0.up.weight"].double()
    assert torch.equal(folded["layer.0.up.weight"][:, :3], exact.float())
    mixed = fold(method, [pool[0], adapter(3, 1, 8, 5)], Coefficients.of(omega)).tensors
    assert mixed["layer.0.up.weight"].dtype is torch.float64


@pytest.mark.parametrize("size", [(3, 2, 8), (2, 3, 8), (2, 2, 7), (2, 2), (0, 2, 8), (2, 2, 8, 1)], ids=str)
def test_coefficients_of_the_wrong_shape_are_refused(size):
    pool = [adapter(3, 2, 8, t) for t in range(2)]
    with pytest.raises(DataError, match=r"expected shape \(2 or 1, 2, 8 or 1\)"):
        fold(pfeiffer(2, 8), pool, Coefficients.of(torch.ones(size)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_coefficients_that_are_not_finite_are_refused(value):
    omega = torch.ones(1, 1, 1)
    omega[0] = value
    with pytest.raises(DataError, match="not finite"):
        fold(pfeiffer(2, 8), [adapter(3, 2, 8, 0)], Coefficients.of(omega))


@pytest.mark.parametrize("tolerance", [-0.1, float("nan")])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance):
    with pytest.raises(UsageError, match="tolerance"):
        fold(
            pfeiffer(2, 8),
            [adapter(3, 2, 8, 0)],
            Coefficients.of(torch.ones(1, 1, 1)),
            tolerance=tolerance,
        )


def test_a_method_that_cannot_fold_is_refused():
    class Stacked(MethodLayer):
        def initial(self, *_):
            return {}

        def forward(self, *_):
            return torch.zeros(1, 8)

    layer = Stacked(encoder_shape(2, 8, 32), ("ffn",))
    with pytest.raises(UsageError, match="cannot be folded"):
        fold(layer, [{}], Coefficients.of(torch.ones(1, 1, 1)))


# -- sites of different width -------------------------------------------------------------------------

FAMILY = ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp", "scalearn_mean",
          "scalearn_softmax")  # fmt: skip
LORAS = [("query", "value"), ("key", "value"), ("query", "key", "value")]
DECODER = TinyDecoder()


def loras(targets, count, rank=3):
    """LoRAs on a decoder whose keys and values are half as wide as its queries; every tensor random."""
    plugin = adapter_method("lora")
    settings = plugin.settings(r=rank, targets=targets)
    layer = plugin.layer(settings, DECODER.shape)
    adapters = [
        {
            name: torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, name)) / 3
            for name, one in layer.initial(stream(seed, "adapter")).items()
        }
        for seed in range(count)
    ]
    return layer, plugin.pool(settings, DECODER.shape, count), adapters


def mixed(kind, pool):
    """A combiner without dropout, and random tensors for it."""
    plugin = combiner(kind)
    layer = combiner_layer(plugin, plugin.settings(), pool, {"dropout": 0.0})
    if layer.needs_context:
        return layer, layer.fixed(PoolContext(tuple("abc"[: pool.sources]), "a"))
    fresh = layer.initial(stream(0, "combiner"))
    return layer, {
        name: torch.randn(one.shape, dtype=torch.float64, generator=stream(1, name)) / 2
        for name, one in fresh.items()
    }


@dataclass(frozen=True)
class Unfolded(Adaptation):
    """Every source's output in full, weighed and summed: what the papers write."""

    method: MethodLayer
    adapters: list
    weigh: Callable

    @property
    def group(self):
        return 0

    @property
    def sites(self):
        return tuple(site.name for site in self.method.sites)

    def forward(self, tensors, at, x, y, shared, generator):
        del shared, generator
        outputs = [self.method.forward(one, *at, x, y) for one in self.adapters]
        return self.weigh(tensors, at, x, torch.stack(outputs, 1))  # (N, T, e) -> (N, e)


def attended(pool):
    """AdapterFusion's formula over outputs in full, queries, keys and values as wide as each site."""

    def weigh(tensors, at, x, u):
        base = f"layer.{pool.point(*at)}."
        q = F.linear(x, tensors[f"{base}query.weight"], tensors[f"{base}query.bias"])
        k = F.linear(u, tensors[f"{base}key.weight"], tensors[f"{base}key.bias"])
        v = F.linear(u, tensors[f"{base}value.weight"])
        weights = torch.einsum("nd,ntd->nt", q, k).softmax(1)
        return torch.einsum("nt,nte->ne", weights, v)

    return weigh


def decoded(adaptation, tensors, rectangle):
    return hidden_states(DECODER, [Seat(adaptation, tensors)], [rectangle])[0]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([*FAMILY, "uniform_average", "adapterfusion"]),
    st.sampled_from(LORAS),
    st.integers(1, 3),
    st.integers(0, 9),
)
def test_a_pool_on_sites_of_different_width_is_what_the_papers_write(kind, targets, sources, seed):
    """Through a whole decoder with grouped queries: stacked, unfolded and, where it folds, one adapter."""
    method, shape, adapters = loras(targets, sources)
    layer, tensors = mixed(kind, shape)
    pool = SourcePool.build(method, adapters, DECODER)
    assert pool.shape == shape
    assert {site.output for site in shape.sites} >= {8}
    rectangle = gather(random_examples(4, 2, seed=seed), np.arange(4))
    got = decoded(Combination(pool, layer), tensors, rectangle)
    if kind == "adapterfusion":
        weigh = attended(shape)
    else:
        omega = layer.coefficients(tensors)

        def weigh(_, at, __, u):
            return (omega.at(shape.point(*at)) * u).sum(1)

    wanted = decoded(Unfolded(method, adapters, weigh), tensors, rectangle)
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)
    plain = decoded(Unfolded(method, adapters, lambda *given: 0 * given[-1].sum(1)), {}, rectangle)
    assert not torch.allclose(got, plain, atol=1e-3)
    if kind != "adapterfusion":
        folded = fold(method, adapters, omega)
        one = decoded(OwnAdapter(method), folded.tensors, rectangle)
        torch.testing.assert_close(one, wanted, rtol=1e-11, atol=1e-11)
        assert folded.kept == (tuple(range(sources)),) * len(shape.points)


@pytest.mark.parametrize("kind", FAMILY)
def test_coefficients_have_the_width_of_their_site(kind):
    _, shape, _ = loras(("query", "value"), 3)
    layer, tensors = mixed(kind, shape)
    omega = layer.coefficients(tensors)
    wide = "uniform" not in kind
    for point, site in enumerate(shape.points):
        assert omega.at(point).shape == (3, site.output if wide else 1)
    assert sorted(tensors) == (["omega.16", "omega.8"] if wide else ["omega"])
    rows = 4 if wide or kind == "scalearn_uniform" else 1
    assert omega.shape == (rows, 3, 16 if wide else 1)
    named = omega.named()
    assert set(named) == ({f"coefficients.{point}" for point in range(4)} if wide else {"coefficients"})


def test_coefficients_of_another_sites_width_are_refused():
    method, shape, adapters = loras(("query", "value"), 2)
    rows = [torch.ones(2, site.output) for site in shape.points]
    fold(method, adapters, Coefficients(tuple(rows)))
    with pytest.raises(DataError, match="16 or 8 or 1"):
        fold(method, adapters, Coefficients(tuple(reversed(rows))))
    with pytest.raises(DataError, match="16 or 8 or 1"):
        fold(method, adapters, Coefficients.of(torch.ones(1, 2, 16)))  # one row for points of two widths
