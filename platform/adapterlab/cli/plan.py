"""``platform plan``: what a spec would do, before it does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from adapterlab.api import PlannedSweep, plan
from adapterlab.cli.layout import Head, Piece, Sheet
from adapterlab.cli.options import JsonOption, SetOption, SpecArgument
from adapterlab.cli.output import emit, emit_json, emit_wrapped, matrix, note_wrapped, table
from adapterlab.planning.baselines import POOL
from adapterlab.planning.matrix import RunCounts
from adapterlab.planning.steps import ExistingAdapter, Step, each_once, is_search
from adapterlab.records import State, StepKind
from adapterlab.reporting.summary import short_names
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


def command(
    spec: SpecArgument,
    overrides: SetOption = None,
    steps: Annotated[bool, typer.Option("--steps", help="List every step with its state and key.")] = False,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Time a few training steps on this machine, once for each backbone, where no past step says how long "
            "they take. Without either, on a GPU only.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what a spec would train, what is done already, and what it costs: methods × targets, one screen.

    Nothing is trained, downloaded or written.
    """
    planned = plan(spec, overrides or (), measure=measure, tell=note_wrapped)
    if json:
        emit_json(planned.to_json())
        return
    if steps:
        _steps(planned)
        emit("")
    _matrix(planned)
    emit_wrapped(summary_line(planned))
    emit_wrapped(device_line(planned))
    _remarks(planned, all_of_them=steps)


def _remarks(planned: PlannedSweep, *, all_of_them: bool) -> None:
    """Say what may not be meant, and what is not known yet; of many of a kind the first and their number."""
    alone = _alone(planned)
    passes = (
        f"{', '.join(alone)}: trains the backbone's own weights, so each of its runs has passes of its own"
    )
    kinds: dict[str, Sequence[str]] = {
        "warning": planned.warnings,
        "note": (passes,) if alone and all_of_them else (),
        "first tried": _starts(planned),
        "not yet known": planned.plan.pending,
    }
    left_out = []
    for name, found in kinds.items():
        shown = found if all_of_them else found[:1]
        for text in shown:
            note_wrapped(f"{name}: {text}")
        if more := len(found) - len(shown):
            left_out.append(f"{more} more {name}")
    if left_out:
        note_wrapped(f"and {', '.join(left_out)}: --steps shows all")


def _starts(planned: PlannedSweep) -> list[str]:
    """Return one line for each list of settings that studies start from."""
    of: dict[str, list[str]] = {}
    for study in planned.plan.searches:
        tried = [
            " · ".join(f"{name} {compact(value)}" for name, value in one.items())
            for one in study.job.search.start
        ]
        if tried:
            of.setdefault("; ".join(tried), []).append(study.title)
    return [
        f"{titles[0] if len(titles) == 1 else f'{titles[0]} and {len(titles) - 1} more'}: {tried}"
        for tried, titles in of.items()
    ]


def _alone(planned: PlannedSweep) -> list[str]:
    """Return the names of baselines and joint runs that share no pass."""
    plan = planned.plan
    alone = [step.job.label for step in plan.sources if step.job.exclusive]
    alone += [step.job.label for step in plan.joints if step.job.exclusive]
    return list(dict.fromkeys(alone))


def _steps(planned: PlannedSweep) -> None:
    rows: list[tuple[object, ...]] = []
    for one in planned.plan.facts.existing:
        title = f"{one.name or one.task} · {one.source}"
        rows.append(
            (
                title,
                _existing_state(one),
                None,
                None,
                None,
                None,
                one.key[:12] if one.key else "not yet known",
            )
        )
    for step in planned.plan.steps:
        if step.kind is StepKind.TRANSFER:
            continue
        finals = planned.plan.finals_of(step.id)
        cached = sum(planned.state(one) is State.COMPLETE for one in finals)
        rows.append(
            (
                step.title,
                _LABELS[planned.state(step)],
                step.job.search.trials if is_search(step) else None,
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


def _matrix(planned: PlannedSweep) -> None:
    """Show methods × targets, with what each trains; the papers' tables of parameters are its last columns."""
    costs = {one.name: one for one in planned.methods}
    names = short_names(planned.targets)
    found = planned.matrix
    others = any(row.others for row in found)
    timed = planned.estimate.by_step is not None
    heads = [
        Head("method"),
        *(Head(names[target], right=True) for target in planned.targets),
        *([Head("other tasks", right=True)] if others else []),
        Head("trials", right=True),
        *([Head(f"{_device(planned)} time", right=True, group=1)] if timed else []),
        Head("parameters", right=True, group=1),
        Head("% backbone", right=True, group=1),
        Head("all tasks", right=True, group=1),
        Head("with sources", right=True, group=1),
    ]
    rows = []
    for row in found:
        cost = costs.get(row.name)
        texts = [
            row.name,
            *(_runs(row.targets.get(target)) for target in planned.targets),
            *([_runs(row.others)] if others else []),
            None if row.trials is None else str(row.trials),
            *([_length(row.seconds or 0.0)] if timed else []),
            *(
                (None,) * 4
                if cost is None
                else (
                    _count(cost.one), _percent(cost.one_percent), _count(cost.every), _count(cost.with_sources)
                )
            ),
        ]  # fmt: skip
        rows.append(tuple((Piece(text or "–"),) for text in texts))
    flying = any(counts.in_flight for row in found for counts in row.targets.values())
    matrix(
        Sheet(tuple(heads), tuple(rows)),
        title=f"{planned.plan.name}: runs in the catalog/all{', + in flight' if flying else ''}",
    )


def _runs(counts: RunCounts | None) -> str | None:
    if counts is None or not counts.runs:
        return None
    flying = f"+{counts.in_flight}" if counts.in_flight else ""
    return f"{counts.cached}{flying}/{counts.runs}"


def _device(planned: PlannedSweep) -> str:
    return "GPU" if planned.device.gpus else "device"


def _length(seconds: float) -> str:
    """Return a length of time for a column: ``12 s``, ``4 min``, ``3.2 h``, ``41,000 h``."""
    if 0 < seconds < 1:
        return "1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{_hours(seconds)} h"


def _hours(seconds: float) -> str:
    """Return hours; of many of them three figures, since no estimate knows more."""
    hours = seconds / 3600
    if hours < 100:
        return f"{hours:.1f}"
    return f"{float(f'{hours:.3g}'):,.0f}"


def _device_time(planned: PlannedSweep) -> str:
    """Return the device time that is left, in hours where it is long."""
    seconds = planned.estimate.device_seconds
    if not seconds:
        return ""
    name = _device(planned)
    return f", {_hours(seconds)} {name}-hours" if seconds >= 5400 else f", {_length(seconds)} of {name} time"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.3f}" if share >= 0.01 or share == 0 else f"{share:.2g}"


def summary_line(planned: PlannedSweep) -> str:
    """Return how many steps are cached, in flight and to train, and the time they will take."""
    pool = [step for step in planned.plan.sources if step.job.label == POOL]
    baselines = [step for step in planned.plan.sources if step.job.label != POOL]
    existing = Counter(map(_existing_state, planned.plan.facts.existing))
    parts = [f"existing adapters: {_listed(existing)}"] if existing else []
    kinds: Mapping[str, Sequence[Step[Any]]] = {
        "sources": pool,
        "baselines": baselines,
        "joint runs": planned.plan.joints,
        "selections": planned.plan.selections,
        "studies": planned.plan.searches,
        "final runs": planned.plan.finals,
    }
    for name, found in kinds.items():
        states = Counter(planned.state(step) for step in each_once(found))
        if states:
            parts.append(f"{name}: {_listed({_LABELS[state]: count for state, count in states.items()})}")
    if all(planned.state(step) is State.COMPLETE for step in planned.plan.steps):
        return f"{'; '.join(parts)}. Nothing to train."
    basis = planned.estimate.basis
    return f"{'; '.join(parts)}. Time: {duration(planned.estimate.seconds)}{_device_time(planned)} ({basis})."


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _existing_state(one: ExistingAdapter) -> str:
    return "there" if one.there else "to import" if one.key is not None else "to fetch"


def device_line(planned: PlannedSweep) -> str:
    """Return what workers train on."""
    return f"Workers train on: {planned.device.words}."


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Return a time a person reads at a glance: ``about 4 min``."""
    return "unknown" if seconds is None else f"about {_length(seconds)}"
