"""``platform plan``: what a spec would do, before it does it."""

from __future__ import annotations

from adapterlab.api import PlannedSweep, plan
from adapterlab.cli.options import JsonOption, SetOption, SpecArgument
from adapterlab.cli.output import emit, emit_json, note, table
from adapterlab.planning.steps import is_study
from adapterlab.records import State, StepKind
from adapterlab.tracking.run_names import compact

_LABELS = {
    State.COMPLETE: "cached",
    State.RUNNING: "in flight",
    State.PENDING: "to train",
    State.FAILED: "to retry",
    State.CANCELLED: "to resume",
    State.STOPPED: "to resume",
    State.KILLED: "to resume",
}


def command(spec: SpecArgument, overrides: SetOption = None, json: JsonOption = False) -> None:
    """Show what a spec would train, what is done already, and what it costs.

    Nothing is trained, downloaded or written.
    """
    planned = plan(spec, overrides or ())
    if json:
        emit_json(planned.to_json())
        return
    _steps(planned)
    emit("")
    _methods(planned)
    emit("")
    emit(summary_line(planned))
    emit(device_line(planned))
    for warning in planned.warnings:
        note(f"warning: {warning}")
    if alone := _alone(planned):
        note(
            f"{', '.join(alone)}: trains the backbone's own weights, so each of its runs has passes of its own"
        )
    for line in _starts(planned):
        note(line)
    for reason in planned.plan.pending:
        note(f"not yet known: {reason}")


def _starts(planned: PlannedSweep) -> list[str]:
    """Return one line for each list of settings that studies start from."""
    of: dict[str, list[str]] = {}
    for study in planned.plan.studies:
        tried = [
            " · ".join(f"{name} {compact(value)}" for name, value in one.items())
            for one in study.job.search.start
        ]
        if tried:
            of.setdefault("; ".join(tried), []).append(study.title)
    return [
        f"{titles[0] if len(titles) == 1 else f'{titles[0]} and {len(titles) - 1} more'}: first tries {tried}"
        for tried, titles in of.items()
    ]


def _alone(planned: PlannedSweep) -> list[str]:
    """Return the names of baselines whose runs share no pass."""
    return list(dict.fromkeys(step.job.label for step in planned.plan.sources if step.job.exclusive))


def _steps(planned: PlannedSweep) -> None:
    rows: list[tuple[object, ...]] = []
    for one in planned.plan.facts.existing:
        state = "there" if one.there else "to import" if one.key is not None else "to fetch"
        title = f"{one.name or one.task} · {one.source}"
        rows.append((title, state, None, None, None, None, one.key[:12] if one.key else "not yet known"))
    for step in planned.plan.steps:
        if step.kind is StepKind.TRANSFER:
            continue
        finals = planned.plan.finals_of(step.id)
        cached = sum(planned.state(one) is State.COMPLETE for one in finals)
        rows.append(
            (
                step.title,
                _LABELS[planned.state(step)],
                step.job.search.trials if is_study(step) else None,
                f"{cached}/{len(finals)}" if finals else None,
                _count(step.trainable_parameters),
                _count(step.head_parameters),
                step.key[:12] if step.key else "not yet known",
            )
        )
    table(
        ("step", "state", "trials", "finals cached", "parameters", "head", "key"),
        rows,
        right=("trials", "finals cached", "parameters", "head"),
    )


def _methods(planned: PlannedSweep) -> None:
    """Show the papers' tables of parameters: for one target, and for all of them."""
    rows = [
        (
            one.name,
            one.tasks,
            _count(one.one),
            _percent(one.one_percent),
            _count(one.every),
            _percent(one.every_percent),
        )
        for one in planned.methods
    ]
    columns = ("trained by", "tasks", "one task", "% of backbone", "all tasks", "% of backbone ")
    table(columns, rows, right=columns[1:])


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.3f}" if share >= 0.01 or share == 0 else f"{share:.2g}"


def summary_line(planned: PlannedSweep) -> str:
    """Return how many steps are cached, in flight and to train, and the time they will take."""
    parts = []
    for kind, states in planned.counts.items():
        described = ", ".join(f"{count} {_LABELS[State(state)]}" for state, count in states.items())
        parts.append(f"{_plural(kind)}: {described}")
    return f"{'; '.join(parts)}. Time: {duration(planned.estimate.seconds)} ({planned.estimate.basis})."


def device_line(planned: PlannedSweep) -> str:
    """Return what workers train on."""
    return f"Workers train on: {planned.device.words}."


def _plural(kind: str) -> str:
    return "studies" if kind == StepKind.STUDY else {"source": "sources", "transfer": "final runs"}[kind]


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Return a time a person reads at a glance: ``about 4 min``."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
