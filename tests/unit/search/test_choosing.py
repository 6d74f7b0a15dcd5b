"""A study that chooses the combiner: its dimensions depend on it, and each combiner is tried."""

from __future__ import annotations

from collections import Counter

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.errors import ConflictError
from adapterlab.search.study import read_trials
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

KINDS = {
    "scalearn": {"lr": FloatRange(low=1e-3, high=2e-2, log=True), "dropout": Choices(choices=(0.0, 0.3))},
    "adapterfusion": {"lr": Choices(choices=(5e-5, 1e-4)), "dropout": 0.1},
    "single": {"lr": 3e-4},
}
COUNTABLE = {name: KINDS[name] for name in ("adapterfusion", "single")}


def open_study(url, name="sweep/auto", **options):
    return open_search(url, name, **{"spaces": KINDS, "trials": 12, "pruner": "none", **options})


def finish(search, value=lambda chosen: 0.5):
    seen = []
    while (proposal := search.ask("w0")) is not None:
        search.tell_complete(proposal.number, value(proposal.settings))
        seen.append(dict(proposal.settings))
    return seen


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_setting_holds_the_dimensions_of_its_combiner(sqlite_url, sampler):
    with open_study(sqlite_url, sampler=sampler) as search:
        seen = finish(search)
    assert len(seen) == 12
    for chosen in seen:
        assert set(chosen) == {"combiner", *KINDS[chosen["combiner"]]}
    assert {chosen["combiner"] for chosen in seen[:3]} == set(KINDS)
    assert [dict(trial.settings) for trial in read_trials(sqlite_url, "sweep/auto")] == seen


def test_the_search_turns_to_the_better_combiner(sqlite_url):
    with open_study(sqlite_url, trials=30) as search:
        seen = finish(search, lambda chosen: float(chosen["combiner"] == "scalearn"))
        assert search.best().settings["combiner"] == "scalearn"
    assert Counter(chosen["combiner"] for chosen in seen)["scalearn"] > 15


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_countable_settings_are_each_tried_once(sqlite_url, sampler):
    with open_study(sqlite_url, spaces=COUNTABLE, sampler=sampler) as search:
        assert search.budget == 3
        seen = finish(search)
    assert sorted((one["combiner"], one["lr"]) for one in seen) == [
        ("adapterfusion", 5e-5), ("adapterfusion", 1e-4), ("single", 3e-4)
    ]  # fmt: skip


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crashes=st.sets(st.integers(0, 7), max_size=3), seed=st.integers(0, 2**31 - 1))
def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(new_sqlite, crashes, seed):
    url = new_sqlite()
    with open_study(url, "whole", trials=8, seed=seed) as search:
        wanted = [tuple(sorted(one.items())) for one in finish(search)]
    other, got = new_sqlite(), []
    while len(got) < 8:
        with open_study(other, "whole", trials=8, seed=seed) as search:
            while (proposal := search.ask("w0")) is not None:
                if proposal.number in crashes:
                    crashes = crashes - {proposal.number}
                    break  # the worker dies; its trial stays running
                search.tell_complete(proposal.number, 0.5)
                got.append(tuple(sorted(proposal.settings.items())))
    assert got == wanted


def test_a_trial_another_tool_began_is_completed(sqlite_url):
    with open_study(sqlite_url) as search:
        search.ask("w0")
    study = optuna.load_study(study_name="sweep/auto", storage=sqlite_url)
    begun = study.ask()
    begun.suggest_categorical("combiner", list(KINDS))
    with open_study(sqlite_url) as search:
        first, second = search.ask("w0"), search.ask("w0")
    assert first.taken_over
    assert second.taken_over
    assert set(second.settings) == {"combiner", *KINDS[second.settings["combiner"]]}
    assert second.settings["combiner"] == begun.params["combiner"]


def test_another_choice_of_combiners_is_another_study(sqlite_url):
    open_study(sqlite_url).close()
    with pytest.raises(ConflictError, match="another search"):
        open_study(sqlite_url, spaces=COUNTABLE)
