"""Clipping and AdamW whose norms are not read come to what they come to on the host."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.train.optimizer import Update, advance, advance_unread, clipped, clipping, gradient_norms

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
SHAPES = [(), (3,), (4, 3), (2, 1, 5)]


def update_of(shape, *, transposed=False, step=1, lr=1e-2, decay=0.1, eps_first=False, gradient=None):
    numbers = torch.randn(shape[::-1], dtype=torch.float64) * 10 ** torch.randint(-6, 2, ()).item()
    own = numbers.permute(tuple(range(len(shape)))[::-1]) if transposed else numbers.reshape(shape)
    return Update(
        torch.randn(shape, dtype=torch.float64),
        own if gradient is None else gradient,
        0.1 * torch.randn(shape, dtype=torch.float64),
        torch.rand(shape, dtype=torch.float64),
        step,
        lr,
        decay,
        eps_first,
    )


def copied(runs):
    return [
        [
            replace(one, **{name: getattr(one, name).clone() for name in ("tensor", "mean", "square")})
            for one in run
        ]
        for run in runs
    ]


def state(run):
    return [part for one in run for part in (one.tensor, one.mean, one.square)]


UPDATES = st.builds(
    update_of,
    st.sampled_from(SHAPES),
    transposed=st.booleans(),
    step=st.integers(1, 2000),
    lr=st.sampled_from([1e-3, 2e-2]),
    decay=st.sampled_from([0.0, 0.1]),
    eps_first=st.booleans(),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(UPDATES, max_size=5), min_size=1, max_size=4), st.data())
def test_an_unread_step_is_the_step_of_the_host(runs, data):
    """Of runs with any tensors, strides, counts, rates and decays; runs that have diverged are passed over."""
    scales = data.draw(st.lists(st.floats(0, 1), min_size=len(runs), max_size=len(runs)))
    dead = data.draw(st.lists(st.booleans(), min_size=len(runs), max_size=len(runs)))
    host, unread = copied(runs), copied(runs)
    living = [
        (one, scale) for run, scale, bad in zip(host, scales, dead, strict=True) if not bad for one in run
    ]
    advance([one for one, _ in living], [scale for _, scale in living])
    advance_unread(unread, torch.tensor(scales, dtype=torch.float64), torch.tensor(dead).float())
    for run, wanted, before, bad in zip(unread, host, runs, dead, strict=True):
        for got, want, was in zip(state(run), state(wanted), state(before), strict=True):
            torch.testing.assert_close(got, want, **CLOSE)
            assert not bad or torch.equal(got, was)


def test_two_tensors_with_one_gradient_and_the_gradient_itself_stay_what_they_are():
    gradient = torch.randn(4, 3, dtype=torch.float64)
    was, runs = gradient.clone(), [[update_of((4, 3), gradient=gradient) for _ in range(2)]]
    host = copied(runs)
    advance(host[0], [0.5, 0.5])
    advance_unread(runs, torch.tensor([0.5]), torch.zeros(1))
    assert torch.equal(gradient, was)
    for got, want in zip(state(runs[0]), state(host[0]), strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.floats(0, 1e150), min_size=1, max_size=4), st.floats(0.1, 10)),
        min_size=1,
        max_size=4,
    )
)
def test_scales_are_those_of_the_host(runs):
    norms = [norm for own, _ in runs for norm in own]
    found = clipped(
        torch.zeros(len(runs)),
        torch.tensor(norms, dtype=torch.float64),
        [len(own) for own, _ in runs],
        [most for _, most in runs],
        None,
    )
    wanted = [clipping(*run) for run in runs]
    torch.testing.assert_close(
        found.norms, torch.tensor([norm for norm, _ in wanted], dtype=torch.float64), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        found.scales, torch.tensor([one for _, one in wanted], dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert not found.diverged.any()


def test_a_norm_whose_square_is_no_number_of_32_bits_is_finite():
    norms = gradient_norms([torch.tensor([1.5e19]), torch.tensor([1.5e19])])
    found = clipped(torch.zeros(1), norms, [2], [1.0], None)
    assert found.norms.item() == pytest.approx(math.sqrt(2) * 1.5e19)
    assert not found.diverged.any()


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_run_that_has_diverged_stays_so(bad):
    def after(losses, norms, before):
        return clipped(torch.tensor(losses), torch.tensor(norms), [1, 1, 1], [1.0] * 3, before).diverged

    first = after([bad, 1.0, 1.0], [1.0, abs(bad), 1.0], None)
    assert first.tolist() == [1.0, 1.0, 0.0]
    assert after([1.0] * 3, [1.0] * 3, first).tolist() == [1.0, 1.0, 0.0]
