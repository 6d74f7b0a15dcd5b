"""Kernels compute what plain torch computes, and plain torch what the formulas say."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from adapterlab.train.counters import kept, levels, words_of_site
from adapterlab.train.kernels import plain
from adapterlab.train.kernels.arguments import FLAT_COLUMNS, Attended, Drawn, Moments, Stepped

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
KEYS = torch.tensor([5, 2**62 - 3, 77], device=DEVICE)
SITE = words_of_site(3, 1)
LENGTHS = torch.tensor([5, 40, 33, 1, 20], device=DEVICE)
"""Sequences in one block and in two, of which the second is not full."""
LANES = torch.tensor([0, 0, 1, 2, 2], device=DEVICE)
PLACES = torch.tensor([0, 1, 0, 0, 1], device=DEVICE)
ROWS = int(LENGTHS.sum())
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-2}


def rows_drawn(dropped):
    lanes = LANES.repeat_interleave(LENGTHS)
    firsts = torch.tensor([0, 45, 78], device=DEVICE)
    places = torch.arange(ROWS, device=DEVICE) - firsts[lanes]
    return Drawn(KEYS, lanes[::4].contiguous(), places[::4].contiguous(), SITE, dropped)


def attended(dropped, heads, keys=KEYS):
    starts = LENGTHS.cumsum(0) - LENGTHS
    return Attended(starts, LENGTHS, int(LENGTHS.max()), heads, Drawn(keys, LANES, PLACES, SITE, dropped))


def some(*shape, dtype, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        DEVICE, dtype
    )


def near(got, wanted, dtype):
    torch.testing.assert_close(got, wanted, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def test_masks_are_equal_to_the_bit(with_triton):
    sizes = [2 * FLAT_COLUMNS + 3, 10, 1]
    dropped = torch.tensor([6554, 0, 30000], dtype=torch.int32, device=DEVICE)
    masks = [code.keep(KEYS, sizes, dropped, SITE) for code in (with_triton, plain)]
    assert torch.equal(*masks)
    assert 0 < (masks[0] == 0).sum() < sum(sizes) / 2


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("adds", [False, True])
def test_dropout_of_rows_is_equal(with_triton, dtype, adds):
    x = some(25, 3 * 72, dtype=dtype)[:, 72:144]  # rows that do not lie one after another
    residual = some(25, 72, dtype=dtype, seed=1) if adds else None
    drawn = rows_drawn(levels(0.3))
    got, wanted = (code.drop(x, residual, drawn) for code in (with_triton, plain))
    near(got, wanted, dtype)
    zeros = (got if residual is None else got - residual) == 0
    assert zeros.double().mean().item() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("shape", [(9, 1100), (9, 2, 3), (9, 1)])
def test_rows_are_laid_with_zeros_where_there_are_none(with_triton, shape):
    x, rows = some(*shape, dtype=torch.float32), torch.tensor([8, -1, 0, 3, -1], device=DEVICE)
    wanted = torch.stack([torch.zeros_like(x[0]) if row < 0 else x[row] for row in rows.tolist()])
    for code in (with_triton, plain):
        assert torch.equal(code.lay(x, rows), wanted)


def test_numbers_that_lie_apart_are_read_in_their_places(with_triton):
    """As gradients of sums and of transposes do."""
    drawn, heads = rows_drawn(levels(0.3)), 2
    x = some(72, 25, dtype=torch.float32).T
    near(with_triton.drop(x, x, drawn), plain.drop(x, x, drawn), torch.float32)
    one = torch.ones((), device=DEVICE).expand(25, 72)
    near(with_triton.drop(one, None, drawn), plain.drop(one, None, drawn), torch.float32)
    q = some(heads * 8, ROWS, dtype=torch.float32).T
    at = attended(levels(0.1), heads)
    for got, wanted in zip(with_triton.attend(q, q, q, at), plain.attend(q, q, q, at), strict=True):
        near(got, wanted, torch.float32)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("one_row", [False, True], ids=["all look", "one a sequence looks"])
@pytest.mark.parametrize("probability", [0.0, 0.1])
def test_attention_and_its_gradients_are_equal(with_triton, dtype, one_row, probability):
    heads, width = 3, 24
    qkv = some(ROWS, 3 * heads * width, dtype=dtype)
    q, k, v = qkv.chunk(3, dim=1)
    q = q[: len(LENGTHS)] if one_row else q
    gradient = some(*q.shape, dtype=dtype, seed=2)
    at = attended(levels(probability), heads)
    own = [code.attend(q, k, v, at) for code in (with_triton, plain)]
    for got, wanted in zip(*own, strict=True):
        near(got, wanted.to(got.dtype), dtype)
    gradients = [
        code.attend_backward(gradient, q, k, v, *forward, at)
        for code, forward in zip((with_triton, plain), own, strict=True)
    ]
    for got, wanted in zip(*gradients, strict=True):
        near(got, wanted, dtype)


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_plain_attention_is_softmax_over_each_sequence_with_probabilities_dropped(probability):
    """And its gradients are autograd's."""
    heads, width = 2, 8
    q, k, v = (
        some(ROWS, heads * width, dtype=torch.float64, seed=seed).requires_grad_() for seed in range(3)
    )
    at, dropped = attended(levels(probability), heads), levels(probability)
    parts, first = [], 0
    for length, lane, place in zip(LENGTHS.tolist(), LANES.tolist(), PLACES.tolist(), strict=True):
        own = slice(first, first + length)
        first += length
        gathered = []
        for head in range(heads):
            of_head = slice(head * width, (head + 1) * width)
            scores = q[own, of_head] @ k[own, of_head].T / math.sqrt(width)
            keep = kept(
                KEYS[lane],
                (torch.arange(length)[:, None], place * heads + head),
                SITE,
                torch.arange(length),
                dropped,
            )
            weights = functional.softmax(scores, -1) * keep / (1 - dropped / 2**16)
            gathered.append(weights @ v[own, of_head])
        parts.append(torch.cat(gathered, 1))
    wanted = torch.cat(parts)
    got, sums = plain.attend(q, k, v, at)
    near(got, wanted, torch.float64)
    gradient = some(ROWS, heads * width, dtype=torch.float64, seed=4)
    autograd = torch.autograd.grad(wanted, (q, k, v), gradient)
    with torch.no_grad():
        own_gradients = plain.attend_backward(gradient, q, k, v, got, sums, at)
    for one, other in zip(own_gradients, autograd, strict=True):
        near(one, other, torch.float64)


def test_a_step_of_adamw_is_equal_and_moves_nothing_of_a_run_that_diverged(with_triton, monkeypatch):
    monkeypatch.setattr(with_triton, "_MOST_BLOCKS", 2)  # so that a program has two turns
    sizes, runs = (2100, 7, 64, 1), [0, 0, 1, 2]
    stepped = Stepped(
        runs,
        shrinks=[0.99, 1.0, 0.9, 1.0],
        rates=[0.1, 0.2, 0.3, 0.4],
        corrections=[0.5, 0.6, 0.7, 0.8],
        before=[0.0, 1e-8, 0.0, 0.0],
        after=[1e-8, 0.0, 1e-8, 1e-8],
    )
    scales = torch.tensor([0.5, 1.0, 0.25], device=DEVICE, dtype=torch.float64)
    diverged = torch.tensor([0.0, 1.0, 0.0], device=DEVICE)
    found = []
    for code in (with_triton, plain):
        tensors, gradients, means, squares = (
            [some(size, dtype=torch.float32, seed=seed) for size in sizes] for seed in range(4)
        )
        gradients[2] *= float("nan")
        squares = [one.square() for one in squares]
        before = [one.clone() for one in (tensors[2], means[2], squares[2])]
        code.adamw(tensors, gradients, Moments(means, squares, 0.9, 0.999), scales, diverged, stepped)
        assert all(map(torch.equal, before, (tensors[2], means[2], squares[2])))
        found.append([*tensors, *means, *squares])
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("eps_first", [False, True])
def test_a_plain_step_is_that_of_torch(eps_first):
    """Or, where ε comes first, of transformers' own AdamW."""
    theta, gradient = (some(50, dtype=torch.float64, seed=seed) for seed in range(2))
    own, mean, square = theta.clone(), torch.zeros_like(theta), torch.zeros_like(theta)
    other = torch.nn.Parameter(theta.clone())
    optimizer = torch.optim.AdamW([other], lr=0.01, weight_decay=0.1)
    one = torch.ones(1, device=DEVICE)
    for step in range(1, 4):
        correction = math.sqrt(1 - 0.999**step)
        before, after = (1e-8, 0.0) if eps_first else (0.0, 1e-8)
        stepped = Stepped([0], [1 - 0.01 * 0.1], [0.01 / (1 - 0.9**step)], [correction], [before], [after])
        plain.adamw([own], [gradient * step], Moments([mean], [square], 0.9, 0.999), one, one * 0, stepped)
        optimizer.param_groups[0]["eps"] = 1e-8 / correction if eps_first else 1e-8
        other.grad = gradient * step
        optimizer.step()
    near(own, other.detach(), torch.float64)
