"""AdapterFusion without any source's output, key or value is the paper's formula, gradients and all."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.train.combination import TokenMeans
from adapterlab.train.protocols import FrozenPool
from adapterlab.train.rng import dropout as drop
from adapterlab.train.rng import stream
from adapterlab_adapterfusion.layer import AdapterFusionLayer
from adapterlab_adapterfusion.plugin import ADAPTERFUSION, AdapterFusionSettings

LAYER = AdapterFusionLayer()


def problem(sources, r, d, rows, seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    pool = FrozenPool({}, normal(sources, d, r) / r**0.5, normal(sources, d))
    tensors = {
        name: (one.double() + normal(*one.shape) / d).requires_grad_()
        for name, one in LAYER.initial(None, (1, sources, 1), d, 2.0, stream(seed, "fusion")).items()
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
    rows=st.integers(1, 9),
    p=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 10_000),
)
def test_folded_is_unfolded(sources, r, d, rows, p, seed):
    """With score dropout as well, where the key's bias does not cancel."""
    pool, tensors, x, h = problem(sources, r, d, rows, seed)
    leaves = [x, h, *tensors.values()]
    folded = LAYER.forward(
        None, tensors, 0, pool, x, h, dropout=p, generator=torch.Generator().manual_seed(1)
    )
    whole = by_the_paper(tensors, pool, x, h, p, torch.Generator().manual_seed(1))
    torch.testing.assert_close(folded, whole, rtol=1e-12, atol=1e-12)
    aim = torch.randn(folded.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    got = torch.autograd.grad((folded * aim).sum(), leaves, allow_unused=True)
    wanted = torch.autograd.grad((whole * aim).sum(), leaves, allow_unused=True)
    scale = max(1.0, *(float(one.abs().max()) for one in wanted if one is not None))
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12 * scale)


def test_it_starts_as_the_paper_does():
    tensors = LAYER.initial(None, (2, 3, 1), 64, 2.0, stream(0, "fusion"))
    value = tensors["layer.1.value.weight"]
    assert torch.equal(value.diag(), torch.ones(64))
    assert float((value - value.diag().diag()).max()) == pytest.approx(1e-6)
    assert float(tensors["layer.0.query.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert not tensors["layer.0.key.bias"].any()
    assert not torch.equal(tensors["layer.0.query.weight"], tensors["layer.1.query.weight"])


def test_only_values_are_spared_from_weight_decay():
    spared = [
        name for name in LAYER.initial(None, (1, 2, 1), 4, 2.0, stream(0, "x")) if not LAYER.decays(name)
    ]
    assert spared == ["layer.0.value.weight"]


def test_the_regulariser_can_be_switched_off():
    assert LAYER.penalty(AdapterFusionSettings(value_regulariser=0.0), {}) is None
    assert ADAPTERFUSION.settings().model_dump() == {"value_regulariser": 0.01}


def test_mean_attention_counts_real_tokens_only():
    means = TokenMeans(1)
    means.look_at(torch.tensor([[True, False], [True, True]]))
    means.observe(0, torch.tensor([[0.2, 0.8], [9.0, 9.0], [0.4, 0.6], [0.6, 0.4]]))
    means.look_at(None)
    means.observe(0, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(means.values, torch.tensor([[[0.55], [0.45]]]))
