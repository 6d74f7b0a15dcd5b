"""A study ends with exactly its budget of trials, each in its true state, whatever crashes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapterlab.search.study as study_module
from adapterlab.errors import ConflictError, NotFoundError
from adapterlab.records import State
from adapterlab.search.storage import initialise
from adapterlab.search.study import StudySearch, read_trials
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

WORKER = Path(__file__).with_name("trial_worker.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(study_module.__file__).parents[2])}
LR = FloatRange(low=1e-4, high=1e-2, log=True)
MIXED = {"lr": LR, "init_scale": 2.0, "dropout": Choices(choices=(0.0, 0.1, 0.3))}
DISCRETE = {"lr": Choices(choices=(0.001, 0.003, 0.01)), "dropout": Choices(choices=(0.0, 0.3)), "init": 2.0}


def open_study(url: str, name: str = "sweep/rte", **options) -> StudySearch:
    return open_search(url, name, **{"spaces": MIXED, "trials": 8, "pruner": "none", **options})


def objective(chosen) -> float:
    return -(math.log10(chosen["lr"] / 2e-3) ** 2) - chosen.get("dropout", 0.0)


def finish(search: StudySearch, worker: str = "w0") -> list[int]:
    numbers = []
    while (proposal := search.ask(worker)) is not None:
        search.tell_complete(proposal.number, objective(proposal.settings))
        numbers.append(proposal.number)
    return numbers


def start_worker(url: str, name: str, worker: str, trials: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, WORKER, url, name, worker, str(trials), str(seconds)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def many_processes_make_exactly_their_budget(url: str) -> None:
    workers = [start_worker(url, "shared", f"w{index}", 40, 0.005) for index in range(8)]
    outputs = [worker.communicate(timeout=200)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8
    told = [int(line.split()[0]) for output in outputs for line in output.splitlines()[1:]]
    assert sorted(told) == list(range(40))
    trials = read_trials(url, "shared")
    assert [trial.number for trial in trials] == list(range(40))
    assert {trial.state for trial in trials} == {State.COMPLETE}
    assert len({trial.settings["lr"] for trial in trials}) == 40


def killed_workers_leave_no_trace(url: str) -> None:
    victim = start_worker(url, "killed", "w0", 6, 0.05)
    steady = start_worker(url, "killed", "w1", 6, 0.3)
    for _ in range(3):  # "ready" and two finished trials: the third is on its way
        victim.stdout.readline()
    victim.kill()
    victim.wait()
    before = {trial.number: trial for trial in read_trials(url, "killed") if trial.worker == "w0"}
    restarted = start_worker(url, "killed", "w0", 6, 0.01)
    output = restarted.communicate(timeout=100)[0]
    steady.communicate(timeout=100)
    after = read_trials(url, "killed")
    assert [trial.number for trial in after] == list(range(6))
    assert Counter(trial.state for trial in after) == {State.COMPLETE: 6}
    for number, trial in before.items():
        assert after[number].settings == trial.settings
    left_running = [number for number, trial in before.items() if trial.state is State.RUNNING]
    taken_over = [int(line.split()[0]) for line in output.splitlines() if line.endswith("True")]
    assert left_running == taken_over


def test_eight_processes_make_exactly_the_budget(sqlite_url):
    many_processes_make_exactly_their_budget(sqlite_url)


@pytest.mark.slow
@pytest.mark.postgres
def test_eight_processes_make_exactly_the_budget_on_postgresql(postgres_url, tmp_path):
    initialise(postgres_url, tmp_path)
    many_processes_make_exactly_their_budget(postgres_url)


def test_a_killed_worker_continues_its_trials_under_the_same_numbers(sqlite_url):
    killed_workers_leave_no_trace(sqlite_url)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_killed_worker_continues_its_trials_on_postgresql(postgres_url, tmp_path):
    initialise(postgres_url, tmp_path)
    killed_workers_leave_no_trace(postgres_url)


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crashes=st.sets(st.integers(0, 9), max_size=4), seed=st.integers(0, 2**31 - 1))
def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(new_sqlite, sampler, crashes, seed):
    """Whenever the worker dies, before or after any trial, the settings of every number are the same."""
    options = {"sampler": sampler, "seed": seed, "trials": 10}
    if sampler == "grid":
        options |= {
            "spaces": {
                "lr": Choices(choices=(0.001, 0.002, 0.004, 0.008)),
                "init": Choices(choices=(1.0, 2.0, 4.0)),
            }
        }
    steady = open_study(new_sqlite(), **options)
    finish(steady)

    url = new_sqlite()
    search = open_study(url, **options)
    for number in range(10):
        proposal = search.ask("w0")
        if number in crashes:
            search.close()
            search = open_study(url, **options)
            assert (again := search.ask("w0")).number == proposal.number
            assert again.settings == proposal.settings
        search.tell_complete(number, objective(proposal.settings))
    assert search.ask("w0") is None
    assert [trial.settings for trial in search.trials()] == [trial.settings for trial in steady.trials()]
    steady.close()
    search.close()


def test_another_seed_or_study_name_proposes_something_else(sqlite_url):
    firsts = {
        open_study(sqlite_url, name, seed=seed).ask("w0").settings["lr"]
        for name, seed in [("a", 0), ("a/b", 0), ("c", 1)]
    }
    assert len(firsts) == 3


def test_tpe_finds_the_better_region(sqlite_url):
    search = open_study(sqlite_url, spaces={"lr": LR}, trials=30, seed=3)
    finish(search)
    lrs = [trial.settings["lr"] for trial in search.trials()]
    distances = [abs(math.log10(lr / 2e-3)) for lr in lrs]
    assert sum(distances[15:]) < sum(distances[:15])


def test_a_value_that_is_not_a_number_fails_with_its_reason(sqlite_url):
    search = open_study(sqlite_url, trials=3)
    for value in (math.nan, math.inf, -math.inf):
        assert search.tell_complete(search.ask("w0").number, value) is State.FAILED
    assert [trial.reason for trial in search.trials()] == [
        "the objective is nan", "the objective is inf", "the objective is -inf",
    ]  # fmt: skip
    assert search.best() is None
    assert search.finished


def test_reporting_nan_fails_the_trial_at_once(sqlite_url):
    search = open_study(sqlite_url)
    proposal = search.ask("w0")
    assert not proposal.report(0.5, 1)
    assert proposal.report(math.nan, 2)
    assert search.tell_pruned(proposal.number) is State.FAILED
    (trial,) = search.trials()
    assert trial.reason == "the objective is nan after epoch 2"
    assert trial.intermediate == {1: 0.5}


def test_a_pruned_trial_stays_pruned_with_its_values_and_is_never_best(sqlite_url):
    search = open_study(sqlite_url, trials=3)
    pruned, complete = search.ask("w0"), search.ask("w0")
    pruned.report(0.8, 1)
    pruned.report(0.9, 2)
    assert search.tell_pruned(pruned.number) is State.PRUNED
    assert search.best() is None
    search.tell_complete(complete.number, 0.1)
    assert search.best().number == complete.number
    stored = search.trials()[pruned.number]
    assert (stored.state, stored.value, dict(stored.intermediate)) == (State.PRUNED, None, {1: 0.8, 2: 0.9})
    study = optuna.load_study(study_name=search.name, storage=sqlite_url)
    assert study.trials[0].state is optuna.trial.TrialState.PRUNED
    assert study.best_trial.number == complete.number


def test_the_earliest_of_equals_is_best(sqlite_url):
    search = open_study(sqlite_url, trials=4)
    for value in (0.2, 0.7, 0.7, 0.1):
        search.tell_complete(search.ask("w0").number, value)
    assert search.best().number == 1
    lowest = open_study(sqlite_url, "lowest", direction="minimize", trials=4)
    for value in (0.2, 0.1, 0.1, 0.3):
        lowest.tell_complete(lowest.ask("w0").number, value)
    assert lowest.best().number == 1


def test_telling_twice_changes_nothing(sqlite_url):
    search = open_study(sqlite_url)
    number = search.ask("w0").number
    assert search.tell_complete(number, 0.5) is State.COMPLETE
    assert search.tell_complete(number, 0.9) is State.COMPLETE
    assert search.tell_failed(number, "too late") is State.COMPLETE
    assert search.tell_pruned(number) is State.COMPLETE
    (trial,) = search.trials()
    assert (trial.value, trial.reason) == (0.5, None)
    with pytest.raises(NotFoundError, match="no trial 7"):
        search.tell_complete(7, 0.1)


def test_the_median_pruner_stops_what_cannot_win_and_nothing_else(sqlite_url):
    search = open_study(sqlite_url, pruner="median", trials=6)
    for value in (0.5, 0.6, 0.7, 0.8):
        proposal = search.ask("w0")
        assert not any(proposal.report(value, epoch) for epoch in (1, 2, 3))
        search.tell_complete(proposal.number, value)
    worse, better = search.ask("w0"), search.ask("w0")
    assert not worse.report(0.1, 1)  # the first epoch says little
    assert worse.report(0.1, 2)
    assert not better.report(0.1, 1)
    assert not better.report(0.75, 2)


def test_a_restarted_trial_reports_its_epochs_again_without_doubles_or_warnings(sqlite_url):
    search = open_study(sqlite_url)
    first = search.ask("w0")
    for epoch in (1, 2, 3):
        first.report(0.1 * epoch, epoch)
    search.annotate(first.number, run="abc")
    search = open_study(sqlite_url)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = search.ask("w0")
        assert (again.number, again.taken_over, again.attributes) == (0, True, {"run": "abc"})
        again.report(0.1, 1)
        again.report(0.25, 2)
    assert search.trials()[0].intermediate == {1: 0.1, 2: 0.25, 3: pytest.approx(0.3)}


def test_a_restarted_trial_is_not_judged_by_its_former_life(sqlite_url):
    search = open_study(sqlite_url, pruner="median", trials=6)
    for value in (0.5, 0.6, 0.7, 0.8):
        proposal = search.ask("w0")
        for epoch in (1, 2, 3):
            proposal.report(value, epoch)
        search.tell_complete(proposal.number, value)
    former = search.ask("w0")
    assert former.report(0.1, 3)
    search = open_study(sqlite_url, pruner="median", trials=6)
    assert not search.ask("w0").report(0.1, 1)


def test_a_worker_leaves_the_trials_of_others_alone_until_they_are_given_up(sqlite_url):
    search = open_study(sqlite_url, trials=3)
    search.ask("w0"), search.ask("w1")
    other = open_study(sqlite_url, trials=3)
    assert (third := other.ask("w2")).number == 2
    assert other.ask("w2") is None
    assert not other.finished
    assert other.take_over("w0") == 1
    assert other.ask("w2").number == 0
    assert other.ask("w2") is None
    owner = open_study(sqlite_url, trials=3)
    assert owner.take_over() == 3
    assert [owner.ask("w9").number for _ in range(3)] == [0, 1, 2]
    assert owner.ask("w9") is None
    assert third.settings == owner.trials()[2].settings


def test_a_trial_another_tool_left_half_made_is_completed(sqlite_url):
    search = open_study(sqlite_url, trials=2)
    study = optuna.load_study(study_name=search.name, storage=sqlite_url)
    study.ask().suggest_float("lr", LR.low, LR.high, log=True)
    proposal = search.ask("w0")
    assert (proposal.number, proposal.taken_over) == (0, True)
    assert set(proposal.settings) == {"lr", "init_scale", "dropout"}
    assert search.trials()[0].settings == proposal.settings
    assert search.ask("w0").number == 1
    assert search.ask("w0") is None


def test_trials_enqueued_by_another_tool_do_not_disturb_the_budget(sqlite_url):
    search = open_study(sqlite_url, trials=3)
    optuna.load_study(study_name=search.name, storage=sqlite_url).enqueue_trial({"lr": 1e-3})
    assert len(finish(search)) == 3
    assert search.finished


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_countable_settings_are_each_tried_once(sqlite_url, sampler):
    search = open_study(sqlite_url, spaces=DISCRETE, sampler=sampler, trials=50)
    assert search.budget == 6
    finish(search)
    tried = {tuple(sorted(trial.settings.items())) for trial in search.trials()}
    assert len(tried) == len(search.trials()) == 6


def test_a_search_without_anything_to_search_is_one_trial(sqlite_url):
    search = open_study(sqlite_url, spaces={"lr": 0.01, "dropout": Choices(choices=(0.3,))}, trials=16)
    assert search.ask("w0").settings == {"lr": 0.01, "dropout": 0.3}
    assert search.ask("w0") is None


@pytest.mark.parametrize("spaces", [MIXED, DISCRETE])
def test_a_study_can_be_extended_and_continues_as_if_it_had_been_longer(new_sqlite, spaces):
    url = new_sqlite()
    finish(open_study(url, spaces=spaces, trials=3))
    extended = open_study(url, spaces=spaces, trials=6)
    assert finish(extended) == [3, 4, 5]
    longer = open_study(new_sqlite(), spaces=spaces, trials=6)
    finish(longer)
    assert [each.settings for each in extended.trials()] == [each.settings for each in longer.trials()]
    assert open_study(url, spaces=spaces, trials=2).ask("w0") is None


@pytest.mark.parametrize(
    "change",
    [{"spaces": {**MIXED, "dropout": 0.1}}, {"seed": 1}, {"sampler": "random"}, {"direction": "minimize"}],
)
def test_a_name_means_one_search(sqlite_url, change):
    open_study(sqlite_url)
    with pytest.raises(ConflictError, match="another search"):
        open_study(sqlite_url, **change)


def test_studies_in_one_storage_do_not_mix(sqlite_url):
    first, second = open_study(sqlite_url, "a", trials=2), open_study(sqlite_url, "b", trials=3)
    assert (finish(first), finish(second)) == ([0, 1], [0, 1, 2])
    assert len(read_trials(sqlite_url, "a")) == 2
    with pytest.raises(NotFoundError, match="no study 'c'"):
        read_trials(sqlite_url, "c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "grid"}, "needs choices"),
        ({"sampler": "magic"}, "sampler must be"),
        ({"pruner": "magic"}, "pruner must be"),
        ({"trials": 0}, "at least 1"),
    ],
)
def test_impossible_searches_are_refused(sqlite_url, options, message):
    with pytest.raises(ValueError, match=message):
        open_study(sqlite_url, **options)


def test_the_callers_guard_is_held_while_a_proposal_is_made(sqlite_url):
    held: list[str] = []

    class Guard:
        def __enter__(self):
            held.append("in")

        def __exit__(self, *_):
            held.append("out")

    search = open_study(sqlite_url, guard=Guard)
    held.clear()
    search.ask("w0")
    assert held == ["in", "out"]
