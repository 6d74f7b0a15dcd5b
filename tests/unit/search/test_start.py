"""The first trials are the given ones, whoever trains them; what they leave out is proposed as usual."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.errors import ConflictError
from adapterlab.search.study import read_trials
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

LR = FloatRange(low=1e-4, high=1e-2, log=True)
RANGES = {"lr": LR, "dropout": Choices(choices=(0.0, 0.1, 0.3))}
POINTS = {"lr": Choices(choices=(0.001, 0.003)), "dropout": Choices(choices=(0.0, 0.3))}
BRANCHES = {"scalearn": {"lr": LR, "init_scale": 2.0}, "fusion": {"lr": LR}, "mean": {"lr": LR}}


def searched(url: str, trials: int = 8, name: str = "study", **options) -> list[dict]:
    with open_search(
        url, name, **{"spaces": RANGES, "trials": trials, "pruner": "none", **options}
    ) as search:
        while (proposal := search.ask("w0")) is not None:
            search.tell_complete(proposal.number, -abs(float(proposal.settings["lr"]) - 2e-3))
    return [dict(trial.settings) for trial in read_trials(url, name)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_given_settings_are_the_first_trials_and_the_rest_is_proposed(new_sqlite, sampler):
    start = [{"lr": 0.003, "dropout": 0.1}, {"lr": 0.004}]
    found = searched(new_sqlite(), sampler=sampler, start=start)
    assert found[0] == start[0]
    assert found[1]["lr"] == 0.004
    assert found[1]["dropout"] in (0.0, 0.1, 0.3)
    assert len({one["lr"] for one in found}) == 8


def test_what_is_left_out_is_what_would_have_been_proposed(new_sqlite):
    usual, begun = searched(new_sqlite()), searched(new_sqlite(), start=[{"dropout": 0.1}])
    assert begun[0] == {**usual[0], "dropout": 0.1}


def test_a_budget_smaller_than_what_is_given_tries_the_first_of_it(new_sqlite):
    start = [{"lr": value} for value in (0.001, 0.002, 0.003)]
    assert [one["lr"] for one in searched(new_sqlite(), trials=2, start=start)] == [0.001, 0.002]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crashes=st.sets(st.integers(0, 7), max_size=4), seed=st.integers(0, 99))
@pytest.mark.slow
def test_workers_that_die_change_nothing_of_it(new_sqlite, crashes, seed):
    start = [{"lr": 0.003}, {"dropout": 0.0}, {"lr": 0.002, "dropout": 0.3}]
    options = {"spaces": RANGES, "trials": 8, "seed": seed, "pruner": "none", "start": start}
    url = new_sqlite()
    for number in range(8):
        with open_search(url, "study", **options) as search:
            proposal = search.ask("w0")
            assert proposal.number == number
            if number not in crashes:
                search.tell_complete(number, -abs(float(proposal.settings["lr"]) - 2e-3))
                continue
        with open_search(url, "study", **options) as search:
            again = search.ask("w0")
            assert (again.number, again.settings, again.taken_over) == (number, proposal.settings, True)
            search.tell_complete(number, -abs(float(again.settings["lr"]) - 2e-3))
    found = [dict(trial.settings) for trial in read_trials(url, "study")]
    assert found == searched(new_sqlite(), seed=seed, start=start)


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_points_that_are_given_are_tried_once(new_sqlite, sampler):
    start = [{"lr": 0.003, "dropout": 0.3}, {"lr": 0.003}, {"lr": 0.003}, {"lr": 0.003}]
    found = searched(new_sqlite(), spaces=POINTS, sampler=sampler, start=start)
    assert found[0] == start[0]
    assert found[1] == {"lr": 0.003, "dropout": 0.0}
    assert len({tuple(one.items()) for one in found}) == len(found) == 4


def test_a_combiner_that_is_given_takes_no_other_ones_turn(new_sqlite):
    start = [{"combiner": "fusion", "fusion.lr": 0.005}, {"combiner": "scalearn", "scalearn.lr": 0.006}]
    found = searched(new_sqlite(), spaces=BRANCHES, start=start)
    assert found[0] == {"combiner": "fusion", "lr": 0.005}
    assert found[1] == {"combiner": "scalearn", "lr": 0.006, "init_scale": 2.0}
    assert {one["combiner"] for one in found[2:5]} == set(BRANCHES)


def test_another_start_is_another_search(sqlite_url):
    searched(sqlite_url, start=[{"lr": 0.003}])
    with pytest.raises(ConflictError, match="another search"):
        searched(sqlite_url, start=[{"lr": 0.004}])
