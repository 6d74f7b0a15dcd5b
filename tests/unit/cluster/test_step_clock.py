"""What a worker has in work is timed from outside, each run for itself."""

from __future__ import annotations

from adapterlab.cluster.board import Note
from adapterlab.cluster.step_clock import StepClock, timed_out
from adapterlab.records import RunInWork

A, B = RunInWork("a", "source glue/rte"), RunInWork("b", "source superglue/cb")


def test_a_run_is_overdue_once_it_took_longer_than_allowed():
    clock = StepClock(10)
    assert clock.overdue(0, Note(1, "n", {"a": A}), 100.0) == ()
    assert clock.overdue(0, Note(1, "n", {"a": A, "b": B}), 110.0) == ()
    assert clock.overdue(0, Note(1, "n", {"a": A, "b": B}), 110.5) == (A,)


def test_a_run_that_ended_is_forgotten_and_waiting_takes_no_time():
    clock = StepClock(10)
    clock.overdue(0, Note(1, "n", {"a": A}), 0.0)
    assert clock.overdue(0, Note(1, "n", {}), 9.0) == ()
    assert clock.overdue(0, Note(1, "n", {}), 99.0) == ()
    assert clock.overdue(0, Note(1, "n", {"a": A}), 100.0) == ()


def test_another_process_and_another_order_begin_anew():
    clock = StepClock(10)
    clock.overdue(0, Note(1, "n", {"a": A}), 0.0)
    assert clock.overdue(1, Note(1, "n", {"a": A}), 11.0) == ()
    assert clock.overdue(0, Note(2, "n", {"a": A}), 11.0) == ()
    assert clock.overdue(0, Note(1, "m", {"a": A}), 11.0) == ()


def test_the_error_names_what_hung_and_its_steps():
    error = timed_out((A, B, RunInWork("", "loading the backbone")), 30.0, 1)
    assert error.message == (
        "loading the backbone, source glue/rte, source superglue/cb: not done after 30 s, which is "
        "cluster.step_timeout_s; its worker was killed"
    )
    assert error.details["steps"] == ["a", "b"]
