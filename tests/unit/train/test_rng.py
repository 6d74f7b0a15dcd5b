"""Dropout masks: the right share, scaled right, and each lane's own."""

from __future__ import annotations

import pytest
import torch

from adapterlab.train.rng import dropout, stream


@pytest.mark.parametrize("size", [1000, 400_000], ids=["drawn by torch", "drawn by NumPy"])
@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
def test_the_mean_stays_and_the_share_of_zeros_is_the_probability(size, probability):
    dropped = dropout(torch.ones(size, dtype=torch.float64), probability, stream(0, "test"))
    zeros = (dropped == 0).double().mean().item()
    assert zeros == pytest.approx(probability, abs=5 * (probability * (1 - probability) / size) ** 0.5)
    kept = dropped[dropped != 0]
    assert bool((kept == kept[0]).all())
    assert kept[0].item() * (1 - probability) == pytest.approx(1, abs=1e-4)


def test_neighbouring_entries_are_dropped_independently():
    zero = (dropout(torch.ones(1_000_000), 0.5, stream(3, "test")) == 0).double() - 0.5
    for lag in (1, 2, 3, 4, 5, 64):
        correlation = (zero[lag:] * zero[:-lag]).mean().item() / 0.25
        assert abs(correlation) < 5e-3


@pytest.mark.parametrize("size", [100, 10_000])
def test_a_stream_gives_the_same_masks_again_and_never_the_same_twice(size):
    x = torch.ones(size)
    one, two = stream(1, "a"), stream(1, "a")
    first, second = dropout(x, 0.5, one), dropout(x, 0.5, one)
    assert torch.equal(first, dropout(x, 0.5, two))
    assert torch.equal(second, dropout(x, 0.5, two))
    assert not torch.equal(first, second)
    assert not torch.equal(first, dropout(x, 0.5, stream(1, "b")))


def test_the_gradient_passes_where_the_value_did():
    x = torch.ones(10_000, dtype=torch.float64, requires_grad=True)
    y = dropout(x, 0.3, stream(0, "test"))
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_evaluation_changes_nothing():
    x = torch.randn(10_000)
    assert dropout(x, 0.5, None) is x
