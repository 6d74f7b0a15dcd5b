"""Attention with dropout: the plain formula's values and gradients, in less memory."""

from __future__ import annotations

import math

import pytest
import torch

from adapterlab.train.rng import keep_mask, stream
from adapterlab_encoder import attention as attention_module
from adapterlab_encoder.attention import attention


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cached", [1, 2 * 3 * 5 * 5 * 8, attention_module._CACHED_BYTES])
def test_it_is_the_plain_formula_with_the_given_mask(queries, masked, cached, monkeypatch):
    """Whether sequences are computed one by one, two by two or all together."""
    monkeypatch.setattr(attention_module, "_CACHED_BYTES", cached)
    random = stream(0, "inputs")
    q = torch.randn(3, 3, queries, 4, dtype=torch.float64, generator=random, requires_grad=True)
    k, v = (
        torch.randn(3, 3, 5, 4, dtype=torch.float64, generator=random, requires_grad=True) for _ in range(2)
    )
    mask = (torch.arange(5) < torch.tensor([[5], [3], [1]]))[:, None, None, :] if masked else None
    scores = q @ k.transpose(-1, -2) / math.sqrt(4)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    keep, share = keep_mask(scores.shape, 0.3, stream(1, "drop"))
    wanted = (scores.softmax(-1) * keep / share) @ v
    got = attention(q, k, v, mask, keep, share)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-13)
    weights = torch.randn(wanted.shape, dtype=torch.float64, generator=random)
    for mine, theirs in zip(
        torch.autograd.grad((got * weights).sum(), (q, k, v)),
        torch.autograd.grad((wanted * weights).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("masked", [False, True])
def test_in_16_bits_it_is_the_formula_to_their_precision(masked):
    """Also without dropout, where 32 bits have torch's own attention."""
    random = stream(0, "inputs")
    q, k, v = (
        torch.randn(3, 2, 6, 8, generator=random).bfloat16().requires_grad_() for _ in range(3)
    )  # fmt: skip
    mask = (torch.arange(6) < torch.tensor([[6], [4], [1]]))[:, None, None, :] if masked else None
    exact = [one.detach().double().requires_grad_() for one in (q, k, v)]
    wanted, got = attention(*exact, mask), attention(q, k, v, mask)
    assert got.dtype is torch.bfloat16
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=0.03)
    with torch.no_grad():
        torch.testing.assert_close(attention(q, k, v, mask), got, rtol=0, atol=0)
    for mine, theirs in zip(
        torch.autograd.grad(got.sum(), (q, k, v)), torch.autograd.grad(wanted.sum(), exact), strict=True
    ):
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=0.06)


def test_without_a_mask_nothing_is_dropped():
    q, k, v = (torch.randn(1, 2, 4, 8, dtype=torch.float64, generator=stream(i, "x")) for i in range(3))
    wanted = (q @ k.transpose(-1, -2) / math.sqrt(8)).softmax(-1) @ v
    torch.testing.assert_close(attention(q, k, v, None), wanted, rtol=0, atol=1e-12)
