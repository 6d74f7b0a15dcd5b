"""Tests are exact, paired, corrected, and say when seeds are too few to show anything."""

from __future__ import annotations

from itertools import product
from math import inf
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.errors import NotFoundError
from adapterlab.reporting.significance import ACROSS, AVERAGE, compare, family_wise, holm, paired_p
from adapterlab.reporting.summary import OWN_ADAPTER, Summary
from reports import SUMMARY, cell

_VALUES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=7)


@settings(max_examples=25, deadline=None)
@given(_VALUES)
def test_p_is_the_share_of_all_swaps_that_differ_at_least_as_much(pairs):
    differences = [(one - two) / 100 for one, two in pairs]
    observed = abs(fmean(differences))
    swaps = product((1, -1), repeat=len(pairs))
    means = [abs(fmean(d * s for d, s in zip(differences, signs, strict=True))) for signs in swaps]
    wanted = fmean(mean >= observed - 1e-12 for mean in means)
    got = paired_p([one / 100 for one, _ in pairs], [two / 100 for _, two in pairs])
    assert got == pytest.approx(wanted)


def test_five_seeds_never_give_less_than_a_sixteenth():
    summary = Summary(
        "s", "0", "complete", (cell("a", [0.9] * 5, expected=5), cell("b", [0.1] * 5, expected=5))
    )
    one = compare(summary, "b").of("a", "glue/rte")
    assert one.p == one.least_p == 0.0625
    assert one.is_exact


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=6))
def test_holm_keeps_order_and_never_helps(values):
    corrected = holm(values)
    known = [(p, q) for p, q in zip(values, corrected, strict=True) if p is not None]
    assert [p is None for p in values] == [q is None for q in corrected]
    assert all(p <= q <= 1 for p, q in known)
    assert all(q1 <= q2 for p1, q1 in known for p2, q2 in known if p1 < p2)


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])


def test_only_shared_seeds_are_paired_and_counted():
    summary = Summary("s", "0", "complete", (cell("a", [0.9, 0.8, 0.7]), cell("b", [0.1, float("nan"), 0.3])))
    one = compare(summary, "b").of("a", "glue/rte")
    assert one.pairs == 2
    assert one.difference == pytest.approx(0.6)


def test_one_seed_is_not_tested():
    one = compare(SUMMARY, OWN_ADAPTER).of("scalearn", "glue/rte")
    assert (one.pairs, one.p, one.p_adjusted, one.effect) == (1, None, None, None)
    assert one.difference == pytest.approx(0.1)


def test_the_average_is_compared_over_seeds_that_all_targets_share():
    cells = [cell("a", [0.5, 0.6, 0.7], target=one) for one in ("glue/rte", "glue/cola")]
    cells += [cell("b", [0.4, 0.5, 0.6], target=one) for one in ("glue/rte", "glue/cola")]
    significance = compare(Summary("s", "0", "complete", tuple(cells)), "b")
    one = significance.of("a", AVERAGE)
    assert (one.pairs, one.p, one.p_adjusted) == (3, 0.25, 0.25)
    assert one.difference == pytest.approx(0.1)
    assert significance.of("a", "glue/rte").p_adjusted == 0.25, (
        "both differ in every seed: one swap of eight, twice"
    )


def test_targets_are_pairs_of_the_last_test():
    targets = ("glue/rte", "glue/cola", "glue/mrpc", "glue/stsb", "glue/sst2", "glue/qnli")
    gains = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
    cells = [cell("b", [0.5, 0.5], target=one) for one in targets]
    cells += [
        cell("a", [0.5 + gain, 0.5 + gain], target=one) for one, gain in zip(targets, gains, strict=True)
    ]
    one = compare(Summary("s", "0", "complete", tuple(cells)), "b").of("a", ACROSS)
    assert one.pairs == 6
    assert one.p == one.least_p == pytest.approx(2 / 2**6), "all ranks on one side"
    assert one.difference == pytest.approx(fmean(gains))
    assert one.effect == pytest.approx(fmean(gains) / stdev(gains))


# -- a table as a whole -----------------------------------------------------------------------------

ROWS, TARGETS = 7, 8


def table(draw, seeds, noise):
    """A table without any effect: every row and the reference draw from the same distribution."""
    reference = noise(draw, (TARGETS, seeds))
    rows = noise(draw, (ROWS, TARGETS, seeds)) - reference
    return [dict(enumerate(one)) for one in rows.reshape(-1, seeds)]


NOISE = {
    "normal": lambda draw, shape: draw.normal(0.7, 0.02, shape),
    "rows of a small test split": lambda draw, shape: draw.binomial(56, 0.68, shape) / 56,
    "a run in ten collapses": lambda draw, shape: np.where(
        draw.random(shape) < 0.1, 0.5, draw.normal(0.8, 0.01, shape)
    ),
}


@pytest.mark.parametrize("seeds", [3, 9])
@pytest.mark.parametrize("noise", NOISE)
def test_one_table_in_twenty_without_effect_shows_one(noise, seeds):
    """Of 150 tables 7 or 8 are expected; 16 are three standard deviations more."""
    draw = np.random.default_rng(seeds)
    found = sum(min(family_wise(table(draw, seeds, NOISE[noise]))) <= 0.05 for _ in range(150))
    assert found <= 16


def test_correcting_each_row_by_itself_would_show_effects_in_every_third_table():
    """What the test above guards against, on the same tables."""
    draw = np.random.default_rng(10)
    tables = [table(draw, 10, NOISE["normal"]) for _ in range(12)]
    by_row = [[paired_p(list(one.values()), [0.0] * 10) for one in cells] for cells in tables]
    found = sum(
        any(p <= 0.05 for row in range(ROWS) for p in holm(cells[row * TARGETS : (row + 1) * TARGETS]))
        for cells in by_row
    )
    assert found >= 2


def test_a_great_effect_is_found_among_many_cells():
    """Holm could not: 56 times the least p of ten seeds is 0.11."""
    draw = np.random.default_rng(0)
    cells = table(draw, 10, NOISE["normal"])
    cells[17] = {seed: value + 0.15 for seed, value in cells[17].items()}
    adjusted = family_wise(cells)
    assert adjusted[17] < 0.01
    assert all(p > 0.05 for place, p in enumerate(adjusted) if place != 17)
    assert min(holm([paired_p(list(one.values()), [0.0] * 10) for one in cells])) > 0.05


@given(st.lists(st.lists(st.integers(-5, 5), min_size=4, max_size=4), min_size=1, max_size=6))
def test_correction_never_helps_and_keeps_order(differences):
    """One cell alone has the permutation test's own p-value, of the studentised mean."""
    cells = [dict(enumerate(one)) for one in differences]
    alone = [family_wise([one])[0] for one in cells]
    together = family_wise(cells)
    assert all(one <= two + 1e-12 for one, two in zip(alone, together, strict=True))
    for values, p in zip(differences, alone, strict=True):
        swaps = [
            [s * one for s, one in zip(signs, values, strict=True)] for signs in product((1, -1), repeat=4)
        ]
        sizes = [statistic(one) for one in swaps]
        assert p == pytest.approx(fmean(one >= statistic(values) - 1e-9 for one in sizes))


def statistic(values):
    """By hand: |mean| over standard error."""
    mean, spread = abs(fmean(values)), stdev(values)
    return 0.0 if mean == 0 else inf if spread == 0 else mean / spread * 2


def test_cells_of_other_seeds_stand_in_one_table():
    cells = [{0: 0.1, 1: 0.1, 2: 0.1, 3: 0.1}, {0: 0.2, 1: 0.2}, {7: 0.3}, {}]
    adjusted = family_wise(cells)
    assert adjusted[2:] == [None, None]
    assert adjusted[0] == adjusted[1] == pytest.approx(0.5), "the second differs in half of all swaps"


def test_an_unknown_reference_is_refused_with_the_nearest():
    with pytest.raises(NotFoundError, match="scalern") as error:
        compare(SUMMARY, "scalern")
    assert "scalearn" in error.value.remedy
