"""What a process remembers of a study is what the database says, whoever else writes to it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from adapterlab.records import State
from adapterlab.search.study import StudySearch
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

SPACES = {
    "lr": FloatRange(low=1e-4, high=1e-2, log=True),
    "init_scale": FloatRange(low=0.5, high=4.0),
    "dropout": Choices(choices=(0.0, 0.3)),
}
ACTIONS = ("ask", "report", "complete", "prune", "fail", "nan", "elsewhere", "take over")


def open_study(url: str, name: str = "study", **options) -> StudySearch:
    return open_search(url, name, **{"spaces": SPACES, "trials": 50, "sampler": "random", **options})


def facts(trials) -> list[tuple]:
    """Return everything of trials that a sampler or a pruner reads: epochs once a trial has ended."""
    return [
        (
            trial.number,
            trial.state,
            trial.params,
            trial.distributions,
            trial.values,
            trial.intermediate_values if trial.state.is_finished() else None,
        )
        for trial in trials
    ]


def remembered(search: StudySearch) -> list[tuple]:
    return facts(search._view.current(search._handed_out))


def stored(search: StudySearch, url: str) -> list[tuple]:
    with open_study(url, search.name, pruner="none") as fresh:
        return facts(fresh._trials())


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3)), min_size=4, max_size=14))
def test_what_is_remembered_is_what_is_stored(new_sqlite, actions):
    """Trials of ours and of another worker, in any order of events."""
    url = new_sqlite()
    with open_study(url, pruner="none") as search, open_study(url, pruner="none") as other:
        running = [search.ask("w0")]
        for action, which in actions:
            proposal = running[which % len(running)] if running else None
            if action == "ask" or proposal is None:
                running.append(search.ask("w0"))
            elif action == "report":
                proposal.report(0.1 * which, which + 1)
            elif action == "complete":
                search.tell_complete(proposal.number, 0.25)
                running.remove(proposal)
            elif action == "prune":
                search.tell_pruned(proposal.number)
                running.remove(proposal)
            elif action == "fail":
                search.tell_failed(proposal.number, "it diverged")
                running.remove(proposal)
            elif action == "nan":
                proposal.report(float("nan"), 1)
                running.remove(proposal)
            elif action == "elsewhere":
                theirs = other.ask("w1")
                theirs.report(0.5, 1)
                if which % 2:
                    other.tell_complete(theirs.number, 0.5)
            else:
                other.take_over("w0")
                running = []
            assert remembered(search) == stored(search, url)


def test_a_trial_that_another_process_completed_keeps_its_value_and_is_trained_to_its_end_here_too(
    new_sqlite,
):
    url = new_sqlite()
    with open_study(url) as search, open_study(url) as other:
        proposal = search.ask("w0")
        assert not proposal.report(0.5, 1)
        other.tell_complete(proposal.number, 0.9)
        assert not proposal.report(0.6, 2)
        assert search.tell_complete(proposal.number, 0.6) is State.COMPLETE
        assert search.trials()[0].value == 0.9
        assert dict(search.trials()[0].intermediate) == {1: 0.5}


def test_a_trial_that_another_process_has_failed_is_over_here_too(new_sqlite):
    url = new_sqlite()
    with open_study(url) as search, open_study(url) as other:
        proposal = search.ask("w0")
        assert not proposal.report(0.5, 1)
        other.tell_failed(proposal.number, "it diverged")
        assert proposal.report(0.6, 2)


def test_the_pruner_sees_what_other_workers_completed(new_sqlite):
    url = new_sqlite()
    with open_study(url, pruner="median") as search, open_study(url, pruner="median") as other:
        for _ in range(4):
            theirs = other.ask("w1")
            for epoch in (1, 2):
                theirs.report(0.5, epoch)
            other.tell_complete(theirs.number, 0.5)
        mine = search.ask("w0")
        assert not mine.report(0.1, 1)
        assert mine.report(0.1, 2)


@pytest.mark.parametrize(("direction", "best"), [("maximize", 0.7), ("minimize", 0.2)])
def test_standing_counts_what_ended_and_knows_the_best(new_sqlite, direction, best):
    url = new_sqlite()
    with open_study(url, direction=direction) as search:
        assert search.standing() == (0, None)
        for value in (0.2, 0.7, 0.4):
            search.tell_complete(search.ask("w0").number, value)
        search.tell_failed(search.ask("w0").number, "it diverged")
        search.ask("w0")
        assert search.standing() == (4, best)
    with open_study(url, direction=direction) as resumed:
        assert resumed.standing() == (4, best)


def test_a_pruned_trial_keeps_its_last_epochs_value_as_optuna_has_it(new_sqlite):
    url = new_sqlite()
    with open_study(url) as search:
        proposal = search.ask("w0")
        proposal.report(0.8, 1)
        proposal.report(0.3, 2)
        search.tell_pruned(proposal.number)
        [trial] = search._trials()
        assert (trial.state, trial.values) == (TrialState.PRUNED, [0.3])
