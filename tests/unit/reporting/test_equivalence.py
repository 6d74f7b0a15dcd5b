"""The Bayesian signed-rank test gives what its formula gives, where that is known in closed form, and a table says it."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.stats import beta

from adapterlab.reporting.equivalence import signed_rank_probabilities
from adapterlab.reporting.significance import compare
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import grids
from reports import cell

HALF = sqrt(0.5)
"""A sum over pairs that all but the prior's own belong to wins where the prior's weight is below this."""


@pytest.mark.parametrize("count", [1, 3, 12])
def test_equal_differences_beyond_twice_the_bound_win_as_the_beta_distribution_says(count):
    """All pairs but the prior with itself are better: it wins where w₀² < 1/2, and w₀ ~ Beta(0.5, n)."""
    worse, equal, better = signed_rank_probabilities([0.05] * count, 0.01)
    assert worse == 0
    assert better == pytest.approx(beta(0.5, count).cdf(HALF), abs=0.006)
    assert equal == pytest.approx(1 - better)


@pytest.mark.parametrize("count", [1, 3, 12])
def test_differences_between_the_bound_and_its_double_need_the_prior_to_be_weak(count):
    """A pair with the prior's 0 is within 2 r: better wins where (1 - w₀)² > 1/2."""
    *_, better = signed_rank_probabilities([0.015] * count, 0.01)
    assert better == pytest.approx(beta(0.5, count).cdf(1 - HALF), abs=0.006)


def test_signs_are_worse_and_better_turned_round_and_small_differences_are_equal():
    differences = [0.03, -0.01, 0.02, 0.0, 0.004]
    one = signed_rank_probabilities(differences, 0.005)
    other = signed_rank_probabilities([-value for value in differences], 0.005)
    assert one == pytest.approx(other[::-1], abs=1e-12)
    assert sum(one) == pytest.approx(1)
    assert signed_rank_probabilities([0.001, -0.002, 0.0], 0.01) == (0, 1, 0)


def test_it_is_the_double_sum_over_pairs():
    differences, bound = [0.03, -0.02, 0.012, 0.005], 0.01
    draws = np.random.default_rng(7)
    won = np.zeros(3)
    for _ in range(4000):
        weights = draws.dirichlet([0.5, 1, 1, 1, 1])
        sums = [0.0, 0.0, 0.0]
        for (a, one), (b, other) in product(zip(weights, [0.0, *differences], strict=True), repeat=2):
            region = 0 if one + other < -2 * bound else 2 if one + other > 2 * bound else 1
            sums[region] += a * b
        won[int(np.argmax(sums))] += 1
    assert signed_rank_probabilities(differences, bound) == pytest.approx(tuple(won / 4000), abs=0.025)


def test_without_differences_there_is_no_answer():
    with pytest.raises(ValueError, match="0 differences"):
        signed_rank_probabilities([], 0.01)
    with pytest.raises(ValueError, match="at least 0"):
        signed_rank_probabilities([0.1], -0.01)


def test_a_table_tells_the_difference_its_effect_and_the_three_probabilities():
    targets = [f"glue/t{number}" for number in range(8)]
    cells = [
        cell(row, [0.6 + up] * 3, target=target)
        for place, target in enumerate(targets)
        for row, up in (("adapter", 0.0), ("scalearn", 0.05 + place / 1000), ("same", place / 10_000))
    ]
    found = compare(Summary("demo", "0", "complete", tuple(cells)), "adapter", equal_within=0.01)
    by_row = {one.combiner: one for one in found.equivalences}
    assert by_row["scalearn"].better > 0.95
    assert by_row["same"].equal > 0.95
    (grid,) = [
        one
        for one in grids(Summary("demo", "0", "complete", tuple(cells)), found)
        if "practically" in one.title
    ]
    rows = {row[0].text: row for row in grid.rows}
    assert rows["scalearn"][1].text == "+5.4"
    assert rows["scalearn"][5].mark == "best"
    assert rows["same"][4].text == "1.00"
    assert compare(Summary("demo", "0", "complete", tuple(cells)), "adapter").equivalences == ()
    assert found.to_json()["equivalences"][0]["targets"] == 8


def test_one_target_says_nothing_of_tasks_like_it():
    cells = (cell("a", [0.5, 0.6]), cell("b", [0.6, 0.7]))
    assert compare(Summary("demo", "0", "complete", cells), "a", equal_within=0.01).equivalences == ()
