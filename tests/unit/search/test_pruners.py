"""Pruners decide as Optuna's own would, were they shown the trials of earlier rounds only."""

from __future__ import annotations

import warnings

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from adapterlab.search.pruners import AshaPruner, compares, pruner_of
from adapterlab.search.study import _Judges
from adapterlab.spec.pruning import PRUNERS, PruningSpec, pruning_settings
from adapterlab.spec.search_space import FloatRange
from searches import open_search

MAXIMIZE, MINIMIZE = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
SPACES = {"lr": FloatRange(low=1e-4, high=1e-2, log=True)}


def running(*values: float) -> optuna.trial.FrozenTrial:
    return create_trial(state=TrialState.RUNNING, intermediate_values=dict(enumerate(values, start=1)))


def ended(*values: float, state: TrialState = TrialState.COMPLETE) -> optuna.trial.FrozenTrial:
    value = values[-1] if state is TrialState.COMPLETE else None
    return create_trial(state=state, value=value, intermediate_values=dict(enumerate(values, start=1)))


def stops(pruner, seen, *values: float, direction=MAXIMIZE) -> list[int]:
    """Return the epochs after which a trial with these values would be stopped."""
    judges = _Judges(direction, seen)
    return [epoch for epoch in range(1, len(values) + 1) if pruner.prune(judges, running(*values[:epoch]))]


CURVES = st.lists(st.lists(st.integers(0, 6).map(float), min_size=9, max_size=9), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(curves=CURVES, least=st.integers(1, 3), factor=st.integers(2, 4), maximise=st.booleans())
def test_asha_stops_a_trial_where_optunas_would(curves, least, factor, maximise):
    theirs = optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=factor)
    study = optuna.create_study(
        direction="maximize" if maximise else "minimize",
        pruner=theirs,
        storage=optuna.storages.InMemoryStorage(),
    )
    ours = AshaPruner(least, factor)
    for curve in curves:
        # What is judged has ended before, so that Optuna's notes of it are there too.
        seen = [
            create_trial(
                state=one.state, value=one.value, intermediate_values=one.intermediate_values
            )  # without those notes
            for one in study.get_trials()
        ]
        judges = _Judges(study.direction, seen)
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            stop = trial.should_prune()
            assert ours.prune(judges, running(*curve[:epoch])) == stop
            if stop:
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])


def test_asha_keeps_one_of_so_many_on_each_rung():
    seen = [ended(0.1, 0.5), ended(0.2, 0.6), ended(0.3, state=TrialState.PRUNED)]
    pruner = AshaPruner(1, 2)
    assert stops(pruner, seen, 0.4, 0.7) == []
    assert stops(pruner, seen, 0.15, 0.7)[0] == 1  # third of four
    assert stops(pruner, seen, 0.3, 0.4) == [2]  # second of four, then last of three


def test_what_a_failed_trial_reported_counts_for_nothing():
    failed = ended(9.0, 9.0, state=TrialState.FAIL)
    assert stops(AshaPruner(1, 2), [failed], 0.1, 0.2) == []


def test_patience_stops_a_trial_that_stays_below_its_best():
    pruner = pruner_of("patience", {"patience": 1, "min_delta": 0.0})
    assert stops(pruner, [], 0.5, 0.4, 0.3) == [3]
    assert stops(pruner, [], 0.5, 0.4, 0.6, 0.5) == []
    assert stops(pruner_of("patience", {"patience": 1, "min_delta": 0.3}), [], 0.5, 0.4, 0.3) == []


def test_a_patient_median_asks_once_a_trial_has_not_improved():
    seen = [ended(0.5, 0.5, 0.5), ended(0.6, 0.6, 0.6)]
    compared = {"startup_trials": 1, "warmup_epochs": 1}
    assert stops(pruner_of("median", compared), seen, 0.1, 0.2, 0.1) == [1, 2, 3]
    assert stops(pruner_of("median", {**compared, "patience": 0}), seen, 0.1, 0.2, 0.1) == [3]


def test_a_percentile_lets_the_best_share_go_on():
    seen = [ended(value) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    settings = {"percentile": 25.0, "startup_trials": 1, "warmup_epochs": 1}
    assert stops(pruner_of("percentile", settings), seen, 0.35) == [1]
    assert stops(pruner_of("percentile", settings), seen, 0.45) == []


def test_a_threshold_stops_what_is_below_it():
    pruner = pruner_of("threshold", {"lower": 0.5, "warmup_epochs": 2})
    assert stops(pruner, [], 0.1, 0.6, 0.4) == [3]


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_of_a_spec_is_made_of_its_defaults_without_a_warning(name):
    written = PruningSpec(lower=0.3) if name == "threshold" else PruningSpec()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(pruner_of(name, pruning_settings(name, written)), optuna.pruners.BasePruner)


def test_an_unknown_pruner_is_refused():
    with pytest.raises(ValueError, match="must be one of median"):
        pruner_of("hyperband", {})


@pytest.mark.parametrize("pruner", ["patience", "threshold"])
def test_a_trial_that_nobody_is_compared_with_waits_for_no_round(sqlite_url, pruner):
    pruning = {"patience": {"patience": 1}, "threshold": {"lower": 0.1, "warmup_epochs": 0}}[pruner]
    assert not compares(pruner)
    options = {"spaces": SPACES, "trials": 9, "sampler": "random", "pruner": pruner, "pruning": pruning}
    with open_search(sqlite_url, "study", **options) as search:
        assert [search.ask("w0").number for _ in range(9)] == list(range(9))


@settings(max_examples=40, deadline=None)
@given(runs=st.lists(st.lists(st.integers(0, 9).map(float), min_size=6, max_size=6), min_size=1, max_size=6))
def test_wilcoxon_stops_a_trial_where_optunas_would(runs):
    *before, last = runs
    seen = [
        create_trial(value=sum(one) / 6, intermediate_values=dict(enumerate(one, start=1))) for one in before
    ]
    study = optuna.create_study(direction="maximize")
    study.add_trials(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)
    ours = pruner_of("wilcoxon", pruning_settings("wilcoxon", PruningSpec()))
    # Of equal values the first trial is the best one here, any is there.
    if len({one.value for one in seen}) == len(seen):
        wanted = [n for n in range(1, 7) if theirs.prune(study, running(*last[:n]))]
        assert stops(ours, seen, *last) == wanted


def test_wilcoxon_stops_what_is_worse_run_by_run_though_seeds_differ_more():
    ours = pruner_of("wilcoxon", pruning_settings("wilcoxon", PruningSpec()))
    best = ended(0.9, 0.5, 0.7, 0.6, 0.8)
    assert stops(ours, [best], 0.89, 0.48, 0.67, 0.56, 0.75) == [4, 5]
    assert stops(ours, [best], 0.95, 0.4, 0.8, 0.5, 0.9) == []
    assert stops(ours, [], 0.1, 0.1, 0.1, 0.1, 0.1) == []
