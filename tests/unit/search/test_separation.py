"""The best trials of a search lie apart in units of the noise of their runs."""

from __future__ import annotations

import math
from statistics import stdev

import numpy as np
import pytest

from adapterlab.search.separation import separation


def test_the_difference_is_paired_over_runs():
    values = {0: [0.80, 0.70, 0.90], 1: [0.78, 0.69, 0.87], 2: [0.50, 0.50, 0.50]}
    apart = separation(values)
    assert (apart.best, apart.next, apart.runs, apart.trials) == (
        pytest.approx(0.8),
        pytest.approx(0.78),
        3,
        3,
    )
    assert apart.standard_error == pytest.approx(stdev([0.02, 0.01, 0.03]) / math.sqrt(3))
    assert apart.in_errors == pytest.approx(0.02 / apart.standard_error)
    assert apart.alike == 0, "trial 1 is 3.5 standard errors below, though seeds differ by 0.1"


def test_folds_share_rows_so_their_noise_is_corrected():
    values = {0: [0.8, 0.7, 0.9, 0.8], 1: [0.7, 0.7, 0.8, 0.9]}
    alone, folded = separation(values), separation(values, folds=4)
    assert folded.standard_error == pytest.approx(alone.standard_error * math.sqrt((1 / 4 + 1 / 3) / (1 / 4)))


def test_equal_trials_are_told_as_equal():
    apart = separation({0: [0.5, 0.6], 1: [0.5, 0.6]})
    assert (apart.in_errors, apart.alike) == (None, 1)
    assert separation({0: [0.6, 0.7], 1: [0.5, 0.6]}).in_errors > 100 or math.isinf(
        separation({0: [0.75, 0.5], 1: [0.5, 0.25]}).in_errors
    )


@pytest.mark.parametrize("values", [{}, {0: [0.5, 0.6]}, {0: [0.5], 1: [0.6]}, {0: [0.5, 0.6], 1: [0.6]}])
def test_without_two_trials_of_several_runs_nothing_is_told(values):
    assert separation(values) is None


def test_trials_without_a_difference_are_mostly_alike():
    draw = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        seeds = draw.normal(0, 1, 5)
        apart = separation({trial: list(seeds + draw.normal(0, 1, 5)) for trial in range(8)})
        shares.append(apart.alike / (apart.trials - 1))
    assert np.mean(shares) > 0.5
