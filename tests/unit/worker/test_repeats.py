"""What becomes of a trial with several runs does not depend on which of them is where."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.records import EpochResult, LaneResult, State
from adapterlab.worker.repeats import Judgement, repeats_of


def epoch(number: int, value: float) -> EpochResult:
    return EpochResult(number, 1.0, 1.0, {"accuracy": value}, 1.0)


def told(curves, fails, *, order: int, stop_below: float, by_run: bool = False, capacity: int = 8):
    """Train runs in one of many orders; return what was reported and what became of the trial.

    Args:
        curves: Values of each run, epoch by epoch.
        fails: The runs that diverge after their last epoch.
        order: Seed of who comes next.
        stop_below: A value below this stops the trial.
        by_run: Whether whole runs are compared.
        capacity: Runs side by side.
    """
    reported = []

    def report(value: float, number: int) -> bool:
        reported.append((number, value))
        return value < stop_below

    judged = Judgement(len(curves), "accuracy", report, by_run=by_run)
    draw, waiting, active = random.Random(order), list(range(len(curves))), {}
    while waiting or active:
        while waiting and len(active) < capacity:
            run = waiting.pop(0)
            if judged.state is State.RUNNING:
                active[run] = 0
        if not active:
            break
        run = draw.choice(sorted(active))
        done = active[run]
        kept = [epoch(at, value) for at, value in enumerate(curves[run][:done], start=1)]
        if done == len(curves[run]):
            state = State.FAILED if run in fails else State.COMPLETE
            best = max(range(done), key=lambda at: curves[run][at], default=None)
            judged.end(
                run,
                LaneResult(str(run), state, tuple(kept), None if best is None else best + 1, f"run {run}"),
            )
            del active[run]
            continue
        active[run] += 1
        if not judged.epoch(run, epoch(done + 1, curves[run][done]), healthy=True):
            judged.end(run, LaneResult(str(run), State.PRUNED, (*kept, epoch(done + 1, 0.0)), 1))
            del active[run]
    return reported, judged.state, judged.counted, judged.reason


CURVES = st.lists(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=6), min_size=2, max_size=4)


@given(
    curves=CURVES, failing=st.sets(st.integers(0, 3), max_size=1), stop=st.integers(0, 6), by_run=st.booleans(),
    orders=st.tuples(st.integers(0, 99), st.integers(0, 99)), capacity=st.integers(1, 4),
)  # fmt: skip
def test_neither_the_order_nor_the_room_shows_in_a_trial(curves, failing, stop, by_run, orders, capacity):
    fails = {run for run in failing if run < len(curves)}
    one = told(curves, fails, order=orders[0], stop_below=stop, by_run=by_run)
    other = told(curves, fails, order=orders[1], stop_below=stop, by_run=by_run, capacity=capacity)
    assert one == other


def test_an_epoch_is_the_mean_over_runs_and_one_that_ended_goes_on_as_it_ended():
    reported, state, counted, _ = told([[1.0, 3.0], [2.0, 5.0, 7.0]], set(), order=0, stop_below=0.0)
    assert reported == [(1, 1.5), (2, 4.0), (3, 5.0)]
    assert (state, counted) == (State.RUNNING, [2, 3])


def test_what_is_trained_beyond_the_end_of_a_trial_does_not_count():
    reported, state, counted, _ = told(
        [[5.0, 1.0, 9.0], [5.0, 1.0, 9.0]], set(), order=3, stop_below=2.0, capacity=1
    )
    assert reported == [(1, 5.0), (2, 1.0)]
    assert (state, counted) == (State.PRUNED, [2, 2])


def test_runs_are_compared_in_their_order_where_the_pruner_compares_runs():
    reported, state, counted, _ = told(
        [[4.0, 6.0], [1.0], [8.0]], set(), order=1, stop_below=2.0, by_run=True
    )
    assert reported == [(1, 6.0), (2, 1.0)]
    assert (state, counted) == (State.PRUNED, [2, 1, 0])


def test_a_run_that_diverges_fails_its_trial_with_its_reason():
    _, state, _, reason = told([[4.0, 6.0], [4.0]], {1}, order=1, stop_below=0.0)
    assert (state, reason) == (State.FAILED, "run 1")


def test_every_fold_has_a_run_of_each_seed():
    assert [(one.seed, one.fold) for one in repeats_of(5, 2, 1)] == [(5, None), (6, None)]
    assert [(one.seed, one.fold) for one in repeats_of(0, 2, 2)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert repeats_of(0, 1, 3)[2].name == "seed 0, fold 3"


def test_the_value_of_a_trial_is_the_mean_of_its_runs_kept_epochs():
    judged = Judgement(2, "accuracy", lambda *_: False)
    for run, (first, second) in enumerate([(0.5, 0.9), (0.8, 0.6)]):
        epochs = (epoch(1, first), epoch(2, second))
        for one in epochs:
            assert judged.epoch(run, one, healthy=True)
        judged.end(run, LaneResult(str(run), State.COMPLETE, epochs, 2 - run))
    assert judged.values == [0.9, 0.8]
    assert judged.mean_best()["accuracy"] == pytest.approx(fmean([0.9, 0.8]))
