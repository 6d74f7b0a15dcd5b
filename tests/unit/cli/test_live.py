"""Progress in plain lines: news only, each once."""

from __future__ import annotations

from dataclasses import replace

from adapterlab.catalog.records import StepStatus
from adapterlab.cli.live import live_progress
from adapterlab.driver.progress import StepView, SweepView
from adapterlab.records import State, StepKind


def view(*states: State, phase: str = "", detail: str | None = None) -> SweepView:
    steps = tuple(
        StepView(
            f"step {number}",
            StepKind.SOURCE,
            StepStatus(key=str(number), state=state, detail=detail if state is State.RUNNING else None),
        )
        for number, state in enumerate(states)
    )
    return SweepView("demo", "0" * 64, State.RUNNING, steps, phase)


def test_changes_are_said_once_and_what_was_so_before_is_not(capsys):
    with live_progress() as watch:
        watch(view(State.COMPLETE, State.KILLED, State.PENDING, phase="starting Ray"))
        watch(view(State.COMPLETE, State.RUNNING, State.RUNNING, phase="starting Ray", detail="epoch 1/2"))
        watch(view(State.COMPLETE, State.RUNNING, State.RUNNING, phase="starting Ray", detail="epoch 1/2"))
        watch(view(State.COMPLETE, State.COMPLETE, State.FAILED, phase="starting Ray"))
    assert capsys.readouterr().err.splitlines() == [
        "demo: starting Ray",
        "step 1: running",
        "step 2: running",
        "step 1: complete",
        "step 2: failed",
    ]


def test_what_befell_the_sweep_is_said_each_time_it_happens(capsys):
    lost = "node a was lost, and its worker starts again elsewhere"
    with live_progress() as watch:
        watch(replace(view(State.RUNNING), events=(lost,)))
        watch(replace(view(State.RUNNING), events=(lost,)))
        watch(replace(view(State.RUNNING), events=(lost, lost)))
    said = capsys.readouterr().err.splitlines()
    assert said == [f"demo: {lost}", "step 0: running", f"demo: {lost}"]


def test_bars_draw_on_a_terminal(monkeypatch, capsys):
    from adapterlab.cli import live

    monkeypatch.setattr(live, "is_interactive", lambda _: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with live_progress() as watch:
        watch(view(State.PENDING, phase="starting Ray"))
        watch(replace(view(State.COMPLETE, State.RUNNING, detail="epoch 1/2"), events=("node a was lost",)))
    said = capsys.readouterr().err
    assert "source adapters" in said
    assert said.count("node a was lost") == 1
