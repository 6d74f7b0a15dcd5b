"""Tests are exact, paired, corrected, and say when seeds are too few to show anything."""

from __future__ import annotations

from itertools import product
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.errors import NotFoundError
from adapterlab.reporting.significance import AVERAGE, compare, holm, paired_p
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
    assert (one.pairs, one.p, one.p_holm) == (1, None, None)
    assert one.difference == pytest.approx(0.1)


def test_the_average_is_compared_over_seeds_that_all_targets_share():
    cells = [cell("a", [0.5, 0.6, 0.7], target=one) for one in ("glue/rte", "glue/cola")]
    cells += [cell("b", [0.4, 0.5, 0.6], target=one) for one in ("glue/rte", "glue/cola")]
    significance = compare(Summary("s", "0", "complete", tuple(cells)), "b")
    one = significance.of("a", AVERAGE)
    assert (one.pairs, one.p_holm) == (3, None)
    assert one.difference == pytest.approx(0.1)
    assert significance.of("a", "glue/rte").p_holm == pytest.approx(0.5), "two targets: 0.25 twice"


def test_an_unknown_reference_is_refused_with_the_nearest():
    with pytest.raises(NotFoundError, match="scalern") as error:
        compare(SUMMARY, "scalern")
    assert "scalearn" in error.value.remedy
