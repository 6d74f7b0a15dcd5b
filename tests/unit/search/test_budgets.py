"""A study of N trials is the first N of its search: other budgets, before it or beside it, change nothing of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.records import State
from adapterlab.search.samplers import round_start
from adapterlab.search.storage import initialise
from adapterlab.search.study import Proposal, TrialRecord
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

EPOCHS = 4
RANGES = {"lr": FloatRange(low=1e-4, high=1e-2, log=True), "init_scale": FloatRange(low=0.5, high=4.0)}
CHOICES = {
    "lr": Choices(choices=(0.001, 0.002, 0.004, 0.008, 0.016)),
    "init_scale": Choices(choices=(0.5, 1.0, 2.0, 4.0)),
}
SEARCHES = {
    "tpe": {"sampler": "tpe", "spaces": RANGES},
    "tpe over choices": {"sampler": "tpe", "spaces": CHOICES},
    "random": {"sampler": "random", "spaces": RANGES},
    "grid": {"sampler": "grid", "spaces": CHOICES},
    "choosing": {"sampler": "tpe", "spaces": {"scalearn": RANGES, "fusion": {"lr": RANGES["lr"]}}},
    "percentile": {
        "sampler": "tpe",
        "spaces": RANGES,
        "pruner": "percentile",
        "pruning": {"percentile": 30.0, "startup_trials": 2, "warmup_epochs": 1},
    },
    "patient median": {
        "sampler": "tpe",
        "spaces": RANGES,
        "pruner": "median",
        "pruning": {"startup_trials": 2, "warmup_epochs": 1, "patience": 1, "min_delta": 0.001},
    },
    "asha": {
        "sampler": "tpe",
        "spaces": RANGES,
        "pruner": "asha",
        "pruning": {"min_epochs": 1, "reduction_factor": 2},
    },
    "asha at random": {
        "sampler": "random",
        "spaces": CHOICES,
        "pruner": "asha",
        "pruning": {"min_epochs": 2, "reduction_factor": 2},
    },
    "patience": {
        "sampler": "random",
        "spaces": RANGES,
        "pruner": "patience",
        "pruning": {"patience": 0, "min_delta": 0.0},
    },
    "given first": {
        "sampler": "tpe",
        "spaces": RANGES,
        "pruner": "asha",
        "pruning": {"min_epochs": 1, "reduction_factor": 2},
        "start": [{"lr": 0.002, "init_scale": 2.0}, {"lr": 0.009}, {"init_scale": 0.5}],
    },
    "threshold": {
        "sampler": "tpe",
        "spaces": RANGES,
        "pruner": "threshold",
        "pruning": {"lower": 0.8, "warmup_epochs": 2},
    },
}
PRUNED = [name for name in SEARCHES if name not in ("random", "grid", "choosing", "tpe over choices")]


def value_of(proposal: Proposal, epoch: int) -> float:
    """What a trial would reach; some early trials rise late, so that a median sees them cross."""
    lr, scale = float(proposal.settings["lr"]), float(proposal.settings.get("init_scale", 1.0))
    if proposal.number % 5 == 4:  # and some fall
        return 0.95 - abs(lr - 2e-3) * 50 - epoch / 100
    return 1.0 - abs(lr - 2e-3) * 50 - abs(scale - 2.0) / 10 * (EPOCHS - epoch) + epoch / 100


class Trainer:
    """One sweep that searches with a budget, an epoch of one trial at a time."""

    def __init__(self, url: str, budget: int, worker: str, options: dict) -> None:
        self.search = open_search(url, "search", trials=budget, **options)
        self.worker = worker
        self.running: list[list] = []

    def ask(self) -> bool:
        proposal = self.search.ask(self.worker)
        if proposal is not None:
            self.running.append([proposal, 0])
        return proposal is not None

    def step(self, which: int) -> None:
        entry = self.running[which % len(self.running)]
        entry[1] += 1
        proposal, epoch = entry
        value = value_of(proposal, epoch)
        if proposal.number % 7 == 3 and epoch == 2:  # some diverge
            value = float("nan")
        if proposal.report(value, epoch):
            self.search.tell_pruned(proposal.number)
        elif epoch == EPOCHS:
            self.search.tell_complete(proposal.number, value)
        else:
            return
        self.running.remove(entry)

    def finish(self) -> None:
        while self.ask() or self.running:
            while self.ask():
                pass
            self.step(0)

    def result(self) -> tuple:
        trials = self.search.trials()
        return [outcome(trial) for trial in trials], outcome(self.search.best()), self.search.standing()


def outcome(trial: TrialRecord | None) -> tuple | None:
    if trial is None:
        return None
    return trial.number, trial.state, trial.settings, trial.value, trial.intermediate, trial.reason


def alone(make_url: Callable[[], str], budget: int, options: dict) -> tuple:
    trainer = Trainer(make_url(), budget, "w0", options)
    trainer.finish()
    with trainer.search:
        assert trainer.search.finished
        return trainer.result()


def together(url: str, budgets: Sequence[int], moves: Sequence[tuple[int, int]], options: dict) -> list:
    """Let several budgets of one search take turns as ``moves`` says, then bring all to their end."""
    trainers = [Trainer(url, budget, f"w{place}", options) for place, budget in enumerate(budgets)]
    for who, which in moves:
        trainer = trainers[who % len(trainers)]
        if which == 0 or not trainer.running:
            trainer.ask()
        else:
            trainer.step(which)
    while any(trainer.running or not trainer.search.spent for trainer in trainers):
        for trainer in trainers:
            trainer.ask()
            if trainer.running:
                trainer.step(0)
    found = [trainer.result() for trainer in trainers]
    for trainer in trainers:
        trainer.search.close()
    return found


MOVES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=60)


def _kinds(*quick: str) -> list:
    """Return the kinds of searches, all but some of them as nightly tests."""
    nightly = (pytest.mark.slow, pytest.mark.nightly)
    return [pytest.param(kind, marks=() if kind in quick else nightly) for kind in SEARCHES]


@pytest.mark.parametrize("kind", _kinds("tpe", "grid", "choosing", "asha"))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budgets=st.lists(st.integers(1, 14), min_size=2, max_size=3), moves=MOVES, seed=st.integers(0, 99))
def test_budgets_searched_at_once_are_what_each_is_alone(new_sqlite, kind, budgets, moves, seed):
    options = {**SEARCHES[kind], "seed": seed}
    assert together(new_sqlite(), budgets, moves, options) == [
        alone(new_sqlite, budget, options) for budget in budgets
    ]


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize(("first", "then"), [(4, 2), (17, 9), (9, 17)])
def test_a_budget_is_what_it_is_alone_after_another(new_sqlite, kind, first, then):
    options, url = SEARCHES[kind], new_sqlite()
    for budget in (first, then):
        trainer = Trainer(url, budget, "w0", options)
        trainer.finish()
        assert trainer.result() == alone(new_sqlite, budget, options)
        trainer.search.close()


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["tpe", "grid"])
def test_a_budget_is_what_it_is_alone_on_postgresql(new_sqlite, postgres_url, tmp_path, kind):
    initialise(postgres_url, tmp_path)
    options = SEARCHES[kind]
    moves = [(number * 7 % 3, number * 5 % 7) for number in range(80)]
    assert together(postgres_url, [13, 5, 9], moves, options) == [
        alone(new_sqlite, budget, options) for budget in (13, 5, 9)
    ]


@pytest.mark.parametrize("kind", PRUNED)
def test_some_trials_of_these_searches_are_pruned_and_some_fail(new_sqlite, kind):
    """Otherwise the tests above would say nothing about the pruner."""
    trials, _, _ = alone(new_sqlite, 18, SEARCHES[kind])
    assert {State.PRUNED, State.FAILED, State.COMPLETE} == {trial[1] for trial in trials}


def test_a_worker_waits_for_the_round_before(new_sqlite):
    url = new_sqlite()
    mine, theirs = Trainer(url, 12, "w0", SEARCHES["tpe"]), Trainer(url, 12, "w1", SEARCHES["tpe"])
    assert [mine.ask(), mine.ask(), theirs.ask(), theirs.ask()] == [True] * 4
    assert not mine.ask()
    assert not mine.search.spent
    for _ in range(EPOCHS):
        mine.step(0), mine.step(-1)
    assert not theirs.ask()
    while theirs.running:
        theirs.step(0)
    while mine.running:
        mine.step(0)
    assert mine.ask()
    mine.search.close(), theirs.search.close()


@given(place=st.integers(0, 10_000))
def test_rounds_are_of_four_trials_and_later_of_a_third_of_those_before(place):
    start = round_start(place)
    assert round_start(start) == start <= place
    assert place - start < max(4, start // 3)


def _search_for(url: str, limit_s: float | None, trials: int = 400) -> list[TrialRecord]:
    """Search with trials of 20 ms, as long as there is time."""
    with open_search(
        url, "timed", spaces=RANGES, trials=trials, pruner="none", limit_s=limit_s, seed=3
    ) as search:
        while (proposal := search.ask("w")) is not None:
            time.sleep(0.02)
            search.tell_complete(proposal.number, -abs(float(proposal.settings["lr"]) - 0.003))
        assert search.spent
        assert search.finished
        assert search.standing()[0] == search.budget == len(search.trials())
        return search.trials()


def test_a_search_whose_time_is_up_is_one_of_so_many_trials(new_sqlite):
    url = new_sqlite()
    cut = _search_for(url, 0.5)
    assert 1 <= len(cut) <= 26
    assert _search_for(url, 0.5) == cut  # opened again, it is over
    alone = _search_for(new_sqlite(), None, trials=len(cut))
    assert [(one.settings, one.value) for one in cut] == [(one.settings, one.value) for one in alone]
    longer = _search_for(url, 60.0, trials=len(cut) + 3)  # the same search goes on
    assert longer[: len(cut)] == cut
    assert len(longer) == len(cut) + 3
    assert _search_for(url, 0.5) == cut  # and the shorter time is what it was
    assert len(_search_for(new_sqlite(), 1e-9)) == 1  # the first trial always begins


def test_time_that_a_worker_lost_does_not_count(new_sqlite):
    url = new_sqlite()
    options = {"spaces": RANGES, "trials": 400, "pruner": "none", "limit_s": 0.5}
    with open_search(url, "lost", **options) as search:
        assert search.ask("gone") is not None
    time.sleep(0.7)
    with open_search(url, "lost", **options) as search:
        search.take_over()
        assert not search.spent
        again = search.ask("next")
        assert again is not None
        assert (again.number, again.taken_over, dict(again.attributes)) == (0, True, {})
        search.tell_complete(0, 0.1)
        second = search.ask("next")
        assert second is not None
        assert second.number == 1
