"""A pattern that comes back with every seed is told from one that chance made."""

from __future__ import annotations

import pytest

from adapterlab.reporting.stability import stabilities
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import influences
from reports import SUMMARY, layer


def summary(*patterns):
    layers = [
        layer(f"s{place}", place, value, seed=seed)
        for seed, pattern in enumerate(patterns)
        for place, value in enumerate(pattern)
    ]
    return Summary("s", "0", "complete", (), SUMMARY.influences, tuple(layers))


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (([0.1, 0.5, 0.9], [0.2, 0.3, 0.4]), 1.0),
        (([0.1, 0.5, 0.9], [0.9, 0.5, 0.1]), -1.0),
        (([1, 2, 3], [1, 2, 3], [3, 2, 1]), (1 - 1 - 1) / 3),
    ],
)
def test_it_is_the_mean_rank_correlation_of_all_pairs_of_seeds(patterns, wanted):
    (found,) = stabilities(summary(*patterns))
    assert found.correlation == pytest.approx(wanted)
    assert found.seeds == len(patterns)


def test_one_seed_and_even_coefficients_have_none():
    assert stabilities(summary([0.1, 0.9])) == ()
    assert stabilities(summary([0.5, 0.5], [0.5, 0.5], [0.1, 0.2])) == ()


def test_the_table_of_sources_shows_it_where_it_is_known():
    assert "stability" not in [column.name for column in influences(SUMMARY).columns]
    found = Summary("s", "0", "complete", (), SUMMARY.influences, summary([1, 2], [3, 4]).layers)
    assert "stability" in [column.name for column in influences(found).columns]
