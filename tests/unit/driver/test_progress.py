"""How far a sweep is, and how long the rest may take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.catalog.records import StepStatus
from adapterlab.driver.progress import StepView, SweepView, remaining_s
from adapterlab.records import State, StepKind

STARTED = 1000.0


def step(state: State, *, rows: int | None = 100, done: int = 0, at: float = STARTED + 1) -> StepView:
    status = StepStatus(key="0" * 64, state=state, done=done, total=10, updated_at=at)
    return StepView("step", StepKind.SOURCE, status, rows)


def test_the_rest_takes_its_weight_at_the_speed_so_far():
    steps = [step(State.COMPLETE, at=STARTED + 30), step(State.PENDING, rows=300)]
    assert remaining_s(steps, 30.0, STARTED) == pytest.approx(90.0)


def test_what_has_not_been_told_yet_is_not_taken_for_undone():
    """Two began at 10 s and share a device; one is through at 30 s, so the other has done as much."""
    steps = [
        step(State.COMPLETE, at=STARTED + 30),
        step(State.RUNNING, rows=1000, at=STARTED + 10),
        step(State.PENDING, rows=100),
    ]
    assert remaining_s(steps, 30.0, STARTED) == pytest.approx(20.0 * 1000 / 200)


def test_a_step_that_hangs_is_credited_with_what_it_tells_at_once_only():
    steps = [
        step(State.COMPLETE, at=STARTED + 30),
        step(State.RUNNING, rows=1000, at=STARTED + 10),
    ]
    later = [remaining_s(steps, elapsed, STARTED) for elapsed in (30.0, 100.0, 1000.0)]
    assert later == sorted(later)
    assert later[-1] == pytest.approx(990.0 * 900 / 200)


def test_startup_before_the_first_step_counts_for_nothing_while_it_can_be_told_apart():
    waiting = [
        step(State.RUNNING, rows=100, at=STARTED + 500),
        step(State.RUNNING, rows=100, done=5, at=STARTED + 520),
    ]
    assert remaining_s(waiting, 520.0, STARTED) < 100


def test_what_was_complete_before_says_nothing_of_the_speed():
    before = step(State.COMPLETE, rows=10**6, at=STARTED - 1)
    steps = [step(State.COMPLETE, at=STARTED + 30), step(State.PENDING)]
    assert remaining_s([before, *steps], 30.0, STARTED) == remaining_s(steps, 30.0, STARTED) == 30.0


def test_what_failed_is_no_work_that_is_left():
    assert remaining_s([step(State.COMPLETE), step(State.FAILED)], 30.0, STARTED) == 0.0


@pytest.mark.parametrize(
    "steps",
    [
        [step(State.PENDING)],
        [step(State.RUNNING)],
        [step(State.COMPLETE, rows=1), step(State.PENDING, rows=1000)],
        [step(State.COMPLETE), step(State.PENDING, rows=None)],
        [],
    ],
)
def test_too_early_to_say(steps):
    assert remaining_s(steps, 30.0, STARTED) is None


@given(
    st.lists(st.tuples(st.integers(0, 10), st.floats(0.0, 1e5), st.booleans()), min_size=1),
    st.floats(0.0, 1e5),
)
def test_a_guess_is_a_time_whatever_was_told_when(told, elapsed):
    views = [
        step(State.COMPLETE if ended else State.RUNNING, done=done, at=STARTED + at)
        for done, at, ended in told
    ]
    left = remaining_s(views, elapsed, STARTED)
    assert left is None or 0.0 <= left < float("inf")


class _Recorded:
    """What the catalog said of a sweep's steps, moment by moment."""

    def __init__(self, name: str) -> None:
        told = json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
        self.took_s: float = told["took_s"]
        self.steps = told["steps"]
        self.events = told["events"]

    def left(self, elapsed: float) -> float | None:
        known = {place: rest for at, place, *rest in self.events if at <= elapsed}
        views = []
        for place, (title, kind, rows) in enumerate(self.steps):
            state, done, total, at = known.get(place, ("pending", 0, None, None))
            status = StepStatus(
                key="0" * 64,
                state=State(state),
                done=done,
                total=total,
                updated_at=None if at is None else STARTED + at,
            )
            views.append(StepView(title, StepKind(kind), status, rows))
        return remaining_s(views, elapsed, STARTED)


def test_a_real_quickstart_is_told_its_time_within_a_half_from_the_first_minutes_on():
    """Two small tasks are through in the first two minutes, while four large ones say nothing."""
    recorded = _Recorded("quickstart_progress.json")
    guesses = {second: recorded.left(second) for second in range(int(recorded.took_s) - 60)}
    first = min(second for second, left in guesses.items() if left is not None)
    assert first < recorded.took_s / 6
    for second in range(first, len(guesses)):
        left = guesses[second]
        assert left is not None
        assert 1 / 1.5 < left / (recorded.took_s - second) < 1.5, second
        if second > first:
            assert 1 / 1.5 < left / guesses[second - 1] < 1.5, second


def test_elapsed_ends_with_the_sweep_and_dates_are_iso():
    view = SweepView("demo", "0" * 64, State.COMPLETE, (), started_at=STARTED, ended_at=STARTED + 90)
    assert (view.elapsed_s, view.remaining_s) == (90.0, None)
    assert view.to_json()["started_at"] == "1970-01-01T00:16:40+00:00"
    assert replace(view, state=State.KILLED, ended_at=None).elapsed_s is None
