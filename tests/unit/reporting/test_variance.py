"""Variance of a row's runs, told apart into that between pools and that over one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway

from adapterlab.reporting.variance import variance_components


def crossed(table: np.ndarray) -> dict[tuple[int, int], float]:
    return {place: float(value) for place, value in np.ndenumerate(table)}


def test_a_table_by_hand():
    """Means of pools 2, 4 and 9, of seeds 4 and 6; what is left is 0."""
    parts = variance_components(crossed(np.array([[1.0, 3.0], [3.0, 5.0], [8.0, 10.0]])))
    assert parts is not None
    assert (parts.pools, parts.seeds) == (3, 2)
    assert parts.between == pytest.approx(13.0), "the variance of 2, 4 and 9"
    assert parts.within == pytest.approx(2.0), "the variance of 4 and 6"
    assert parts.mean_error == pytest.approx((13 / 3 + 2 / 2) ** 0.5)


def test_estimates_are_right_on_average():
    rng = np.random.default_rng(0)
    tables = (
        rng.normal(0, 2.0, (3000, 5, 1)) + rng.normal(0, 1.0, (3000, 1, 4)) + rng.normal(0, 0.5, (3000, 5, 4))
    )
    found = [variance_components(crossed(one)) for one in tables]
    assert np.mean([one.between for one in found if one]) == pytest.approx(4.0, rel=0.05)
    assert np.mean([one.within for one in found if one]) == pytest.approx(1.25, rel=0.05)


def test_pools_that_differ_no_more_than_their_runs_have_no_variance_of_their_own():
    table = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert f_oneway(*table).statistic < 1
    parts = variance_components(crossed(table))
    assert parts is not None
    assert parts.between == 0
    assert parts.within == pytest.approx(1.0)


@given(
    st.integers(2, 4).flatmap(
        lambda pools: st.lists(
            st.lists(st.floats(0, 1), min_size=pools, max_size=pools), min_size=2, max_size=5
        )
    ),
    st.floats(-1, 1),
)
def test_components_do_not_depend_on_where_zero_is_and_are_never_negative(rows, shift):
    table = np.array(rows)
    parts, moved = variance_components(crossed(table)), variance_components(crossed(table + shift))
    assert parts is not None
    assert moved is not None
    assert parts.between >= 0
    assert parts.within >= 0
    assert (moved.between, moved.within) == pytest.approx((parts.between, parts.within), abs=1e-9)


def test_a_seed_that_some_pool_lacks_is_left_out_and_little_is_nothing():
    whole = crossed(np.array([[1.0, 3.0], [3.0, 5.5]]))
    assert variance_components({**whole, (0, 7): 99.0}) == variance_components(whole)
    assert variance_components({(0, 0): 1.0, (0, 1): 2.0}) is None
    assert variance_components({(0, 0): 1.0, (1, 0): 2.0, (1, 1): 2.0}) is None
    assert variance_components({}) is None
