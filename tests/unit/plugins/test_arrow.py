"""Arrow's prototypes and routing are the paper's, written here once more in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapterlab.contracts import SHAPE, adapters_of
from adapterlab.errors import UsageError
from adapterlab.train.ablation import without_each
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination
from adapterlab.train.compose import compose
from adapterlab.train.layers import PoolContext
from adapterlab_arrow.layer import prototype
from adapterlab_arrow.plugin import ARROW, ArrowSettings
from adapterlab_lora.plugin import LORA, LoraSettings
from tiny_models import random_encoder

CLOSE = {"rtol": 1e-6, "atol": 1e-6}
"""Prototypes are kept in float32."""
ENCODER = random_encoder(layers=2, d=16)
METHOD = LORA.layer(LoraSettings(r=3, alpha=6.0), ENCODER.shape)
SOURCES = ("a/one", "a/two", "a/three", "a/four")


def made(**settings):
    adapters = adapters_of(METHOD, 4)
    layer = ARROW.layer(ArrowSettings(**settings), LORA.pool(LoraSettings(), ENCODER.shape, 4))
    return layer, prototypes(layer, SOURCES, adapters), adapters


def prototypes(layer, sources, adapters):
    """Return them in the backbone's precision, as the engine has them."""
    found = layer.fixed(PoolContext(sources, "a/four", method=METHOD, adapters=adapters))
    return {name: one.to(ENCODER.dtype) for name, one in found.items()}


def test_a_prototype_is_the_direction_that_is_changed_most():
    (adapter,) = adapters_of(LORA.layer(LoraSettings(), SHAPE), 1)
    up, down = adapter["layer.1.attention.query.b"], adapter["layer.1.attention.query.a"]
    _, _, v = np.linalg.svd(up.numpy() @ down.numpy())
    found = prototype(up, down).double().numpy()
    np.testing.assert_allclose(found * np.sign(found @ v[0]), v[0], **CLOSE)
    assert not bool(prototype(torch.zeros_like(up), down).any())


@pytest.mark.parametrize(("top_k", "temperature"), [(1, 1.0), (2, 0.5), (3, 1.0), (9, 4.0)])
def test_a_token_goes_to_the_sources_it_points_along(top_k, temperature):
    layer, fixed, adapters = made(top_k=top_k, temperature=temperature)
    pool = SourcePool.build(METHOD, adapters, ENCODER)
    point, (site, index) = 3, METHOD.points[3]
    x = torch.randn(7, 16, dtype=ENCODER.dtype, generator=torch.Generator().manual_seed(0))
    seen = []
    got = layer.forward(
        fixed,
        point,
        pool.points[point],
        x,
        METHOD.inner(pool.points[point], x),
        generator=None,
        observe=seen.append,
    )
    for row in range(7):
        scores = np.abs(fixed[f"prototype.{point}"].double().numpy() @ x[row].double().numpy())
        chosen = np.argsort(-scores)[:top_k]
        shares = np.zeros(4)
        shares[chosen] = np.exp(scores[chosen] / temperature)
        shares /= shares.sum()
        each = [METHOD.forward(one, site, index, x[row : row + 1].double(), x)[0].numpy() for one in adapters]
        wanted = sum(share * one for share, one in zip(shares, each, strict=True))
        np.testing.assert_allclose(got[row].double().numpy(), wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(seen[0][row].double().numpy(), shares, rtol=1e-4, atol=1e-4)


def test_a_source_that_leaves_takes_its_prototype_along():
    layer, fixed, adapters = made(top_k=2)
    pool = SourcePool.build(METHOD, adapters, ENCODER)
    whole = Combination(pool, layer, fixed, token_dependent=True)
    without = without_each(whole, fixed, adapters, ENCODER)
    x = torch.randn(5, 16, dtype=ENCODER.dtype, generator=torch.Generator().manual_seed(0))
    site, index = METHOD.points[0]
    for source, one in enumerate(without):
        others = [t for t in range(4) if t != source]
        fewer = ARROW.layer(ArrowSettings(top_k=2), LORA.pool(LoraSettings(), ENCODER.shape, 3))
        rest = [adapters[t] for t in others]
        own = prototypes(fewer, SOURCES[:3], rest)
        alone = SourcePool.build(METHOD, rest, ENCODER).points[0]
        wanted = fewer.forward(own, 0, alone, x, METHOD.inner(alone, x), generator=None)
        got = one.forward({}, (site, index), x, x, whole.shared(site, index, x), None)
        torch.testing.assert_close(got, wanted)


def test_arrow_is_composed_without_a_sweep():
    _, _, adapters = made()
    layer = ARROW.layer(ArrowSettings(), LORA.pool(LoraSettings(), ENCODER.shape, 4))
    module = compose(ENCODER, METHOD, adapters, layer)
    states = module(torch.tensor([[1, 5, 7, 2]])).last_hidden_state
    assert states.shape == (1, 4, 16)
    assert not list(module.parameters())


def test_without_products_or_adapters_there_is_nothing_to_route_by():
    from adapterlab_bottleneck.plugin import PFEIFFER

    bottlenecks = PFEIFFER.layer(PFEIFFER.settings(), ENCODER.shape)
    layer = ARROW.layer(ArrowSettings(), PFEIFFER.pool(PFEIFFER.settings(), ENCODER.shape, 4))
    with pytest.raises(UsageError, match="products of two factors"):
        layer.fixed(PoolContext(SOURCES, "a/four", method=bottlenecks, adapters=adapters_of(bottlenecks, 4)))
    with pytest.raises(UsageError, match="not known here"):
        layer.fixed(PoolContext(SOURCES, "a/four"))
