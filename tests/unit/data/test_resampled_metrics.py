"""Metrics of bootstrap samples are scikit-learn's on the rows those samples stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.data import metrics, resampled_metrics
from adapterlab.data.resampled_metrics import is_weighted, resampled, weighted
from adapterlab.records import ProblemType

KINDS = (ProblemType.CLASSIFICATION, ProblemType.MULTI_LABEL, ProblemType.MULTIPLE_CHOICE)


def rows_of(kind, classes, count, draws):
    shape = (count, classes) if kind is ProblemType.MULTI_LABEL else count
    high = 2 if kind is ProblemType.MULTI_LABEL else classes
    return draws.integers(high, size=shape), draws.integers(high, size=shape)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(2, 5), st.integers(1, 30), st.integers(0, 2**31))
def test_each_sample_scores_as_its_rows_do(kind, classes, count, seed):
    """A drawn count says how often a pair of answer and truth is in the sample; rows are laid out anew from it."""
    said, true = rows_of(kind, classes, count, np.random.default_rng(seed))
    names = metrics.metrics_for(kind)
    found = resampled(names, said, true, kind, samples=4, seed=seed)
    pairs, times = np.unique(np.column_stack([said, true]), axis=0, return_counts=True)
    weights = np.random.default_rng(seed).multinomial(count, times / count, size=4)
    for sample, weight in enumerate(weights):
        drawn = np.repeat(pairs, weight, axis=0)
        width = drawn.shape[1] // 2
        one, two = drawn[:, :width], drawn[:, width:]
        if kind is not ProblemType.MULTI_LABEL:
            one, two = one[:, 0], two[:, 0]
        known = [name for name in names if name != "f1" or classes == 2]  # scikit-learn's is of two classes
        wanted = metrics.compute(known, predictions=one, labels=two)
        got = {name: found[name][sample] for name in known}
        assert got == pytest.approx(wanted, abs=1e-12)


def test_numbers_are_drawn_by_rows():
    draws = np.random.default_rng(0)
    true = draws.normal(size=40)
    found = resampled(
        ("pearson", "spearman"),
        true + draws.normal(size=40),
        true,
        ProblemType.REGRESSION,
        samples=50,
        seed=1,
    )
    assert found["pearson"].shape == (50,)
    assert 0.4 < found["pearson"].mean() < 0.95
    assert found["spearman"].std() > 0


def test_there_is_one_for_every_metric_of_rows():
    for kind, table in (
        (ProblemType.CLASSIFICATION, resampled_metrics._CLASSES),
        (ProblemType.MULTIPLE_CHOICE, resampled_metrics._CLASSES),
        (ProblemType.MULTI_LABEL, resampled_metrics._LABELS),
    ):
        assert set(metrics.metrics_for(kind)) <= set(table)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from((*KINDS, ProblemType.REGRESSION)), st.integers(2, 30), st.integers(0, 2**31))
def test_samples_of_rows_that_are_given_score_as_those_rows_do(kind, count, seed):
    draws = np.random.default_rng(seed)
    said, true = rows_of(kind, 2, count, draws)
    weights = draws.multinomial(count, np.full(count, 1 / count), size=3)
    weights[0] *= 2  # groups of unequal size make samples of unequal size
    for name in metrics.metrics_for(kind):
        assert is_weighted(name, kind)
        found = weighted(name, said, true, kind, weights)
        for sample, weight in enumerate(weights):
            rows = np.repeat(np.arange(count), weight)
            wanted = metrics.compute((name,), predictions=said[rows], labels=true[rows])[name]
            assert found[sample] == pytest.approx(wanted, abs=1e-9)
