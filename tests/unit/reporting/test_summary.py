"""Means, deviations, averages and gaps are what the runs say, and nothing is averaged away."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.reporting.summary import Gap, Summary, ranked, short_names, together
from reports import SUMMARY, cell


def test_mean_and_sample_deviation():
    one = SUMMARY.cell("glue/rte", "scalearn")
    assert one.mean == pytest.approx(0.8)
    assert one.std == pytest.approx(0.1)
    assert SUMMARY.cell("glue/rte", "scalearn_pp").std is None
    assert SUMMARY.cell("superglue/cb", "scalearn_pp").mean is None


def test_a_value_that_is_no_number_is_named_and_never_averaged_away():
    one = cell("scalearn", [0.7, math.nan, 0.9])
    assert one.undefined == (1,)
    assert one.mean is None
    assert one.std is None
    assert not one.is_whole
    assert one.by_seed == {0: 0.7, 2: 0.9}


def test_a_cell_is_whole_when_every_expected_seed_has_a_value():
    assert cell("a", [0.1, 0.2, 0.3]).is_whole
    assert not cell("a", [0.1, 0.2]).is_whole
    assert not cell("a", [0.1], expected=1, gaps=(Gap(1, "failed", "diverged"),)).is_whole


def test_the_average_takes_every_target_or_is_none():
    average = SUMMARY.average("scalearn")
    assert average.mean == pytest.approx((0.8 + 0.5) / 2)
    assert average.by_seed == pytest.approx({0: 0.55, 1: 0.65, 2: 0.75})
    assert average.std == pytest.approx(0.1)
    assert average.is_whole
    lacking = SUMMARY.average("scalearn_pp")
    assert (lacking.mean, lacking.is_whole, lacking.by_seed) == (None, False, {})


def test_the_average_pairs_the_seeds_that_all_targets_share():
    """Large tasks often have fewer seeds than small ones."""
    summary = Summary(
        "demo",
        "0" * 64,
        "complete",
        (
            cell("a", [0.1, 0.2, 0.3], expected=3),
            cell("a", [0.5, 0.7], target="glue/mnli", expected=2),
        ),
    )
    average = summary.average("a")
    assert average.mean == pytest.approx((0.2 + 0.6) / 2)
    assert average.by_seed == pytest.approx({0: 0.3, 1: 0.45})
    assert average.is_whole


def test_json_holds_means_and_averages():
    document = SUMMARY.to_json()
    assert document["cells"][2]["mean"] == pytest.approx(0.8)
    assert document["influences"][0]["source"] == "glue/mnli"
    assert {one["combiner"]: one["mean"] for one in document["averages"]}["scalearn"] == pytest.approx(0.65)


@given(st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=1, max_size=8))
def test_equal_as_shown_is_equal_in_place(values):
    places = ranked(values, 1)
    for value, place in zip(values, places, strict=True):
        assert (value is None) == (place is None)
    shown = [
        (f"{100 * value + 0.0:.1f}", place) for value, place in zip(values, places, strict=True) if place
    ]
    for text, place in shown:
        assert all((other == place) for same, other in shown if float(same) == float(text))
        assert all((other < place) for more, other in shown if float(more) > float(text))


def test_sweeps_stand_together_under_their_names():
    other = Summary("other", "1" * 64, "running", (cell("scalearn", [0.1, 0.2, 0.3]),))
    both = together([SUMMARY, other])
    assert both.sweep == f"{SUMMARY.sweep}, other"
    assert both.targets == SUMMARY.targets
    assert (
        both.cell("glue/rte", f"{SUMMARY.sweep}: scalearn").test == SUMMARY.cell("glue/rte", "scalearn").test
    )
    assert both.cell("glue/rte", "other: scalearn").mean == pytest.approx(0.2)
    assert both.cell("superglue/cb", "other: scalearn") is None
    assert both.average("other: scalearn").mean is None, "a target it never had is not left out"
    assert together([SUMMARY]) is SUMMARY


def test_sweeps_of_one_name_are_told_apart_by_their_keys():
    first, second = (
        Summary("demo", digit * 64, "complete", (cell("scalearn", [value]),))
        for digit, value in (("a", 0.1), ("b", 0.2))
    )
    assert together([first, second]).combiners == ("demo aaaaaaaa: scalearn", "demo bbbbbbbb: scalearn")


def test_steps_that_sweeps_share_are_counted_once():
    first = replace(SUMMARY, sweep="a", step_seconds={"x": 1.0, "y": 2.0}, study_keys=frozenset({"y"}))
    second = replace(SUMMARY, sweep="b", key="1" * 64, step_seconds={"y": 2.0, "z": 4.0})
    both = together([first, second])
    assert (both.device_seconds, both.search_seconds) == (7.0, 2.0)
    assert SUMMARY.device_seconds is None


def test_names_stay_whole_where_short_ones_would_be_the_same():
    assert short_names(["glue/rte", "superglue/rte", "glue/cb", "glue/cb"]) == {
        "glue/rte": "glue/rte", "superglue/rte": "superglue/rte", "glue/cb": "cb"
    }  # fmt: skip
