"""How far a sweep is, and how long the rest may take."""

from __future__ import annotations

from dataclasses import replace

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
    steps = [step(State.COMPLETE), step(State.RUNNING, done=5), step(State.PENDING, rows=350)]
    assert remaining_s(steps, 30.0, STARTED) == pytest.approx(30.0 * 400 / 150)


def test_what_was_complete_before_says_nothing_of_the_speed():
    before = step(State.COMPLETE, rows=10**6, at=STARTED - 1)
    steps = [step(State.COMPLETE), step(State.PENDING)]
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


@given(st.lists(st.integers(0, 10), min_size=1), st.floats(0.1, 1e5))
def test_more_done_is_never_more_left(dones, elapsed):
    views = [step(State.RUNNING, done=done) for done in dones]
    now = remaining_s(views, elapsed, STARTED)
    ahead = remaining_s([*views[1:], step(State.COMPLETE)], elapsed, STARTED)
    assert ahead is not None or now is None
    if now is not None:
        assert 0.0 <= ahead <= now


def test_elapsed_ends_with_the_sweep_and_dates_are_iso():
    view = SweepView("demo", "0" * 64, State.COMPLETE, (), started_at=STARTED, ended_at=STARTED + 90)
    assert (view.elapsed_s, view.remaining_s) == (90.0, None)
    assert view.to_json()["started_at"] == "1970-01-01T00:16:40+00:00"
    assert replace(view, state=State.KILLED, ended_at=None).elapsed_s is None
