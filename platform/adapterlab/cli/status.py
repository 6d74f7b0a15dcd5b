"""``platform status``: how far sweeps are, from any machine that sees the catalog."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import status
from adapterlab.catalog.records import SHORT_KEY
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, emit_wrapped, note_wrapped, table
from adapterlab.cli.quantities import clock_text, date_text, remaining_text
from adapterlab.driver.progress import SweepView
from adapterlab.records import State, StepKind


def command(
    sweep: Annotated[
        str | None,
        typer.Argument(
            metavar="[SWEEP]", help="Name, key, or the first digits of a key (4 or more); absent: all."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List those that were put away as well.")] = False,
    json: JsonOption = False,
) -> None:
    """Show how far sweeps are, when they were submitted, and how they ended.

    Of several that have a name, the latest is shown.
    """
    views = status(sweep, archived=everything)
    if json:
        emit_json([view.to_json() for view in views])
    elif sweep is not None:
        _one(views[0], by_name=sweep == views[0].name)
    elif views:
        _all(views)
    else:
        emit("No sweep is listed. `platform submit SPEC` runs one; `--all` lists those that were put away.")


def _all(views: list[SweepView]) -> None:
    columns: dict[str, list[object]] = {
        "sweep": [view.name for view in views],
        "key": [view.key[:SHORT_KEY] for view in views],
        "state": [f"{view.state}, put away" if view.archived else view.state for view in views],
        "submitted": [date_text(view.started_at or view.created_at) for view in views],
        "elapsed": [clock_text(view.elapsed_s) for view in views],
        "left": [remaining_text(view.remaining_s) for view in views],
        "joint runs": [_done(view, StepKind.JOINT) if view.count(StepKind.JOINT) else None for view in views],
        "sources": [_done(view, StepKind.SOURCE) for view in views],
        "selections": [
            _done(view, StepKind.SELECTION) if view.count(StepKind.SELECTION) else None for view in views
        ],
        "studies": [_done(view, StepKind.STUDY) for view in views],
        "final runs": [_done(view, StepKind.TRANSFER) for view in views],
        "failed": [len(view.in_state(State.FAILED)) or None for view in views],
        "tags": [", ".join(view.tags) or None for view in views],
    }
    said = {
        name: cells
        for name, cells in columns.items()
        if name not in ("left", "joint runs", "selections", "failed", "tags") or any(cells)
    }
    right = ("elapsed", "left", "joint runs", "sources", "selections", "studies", "final runs", "failed")
    table(tuple(said), list(zip(*said.values(), strict=True)), right=[name for name in right if name in said])


def _done(view: SweepView, kind: StepKind) -> str:
    return f"{view.count(kind, State.COMPLETE)}/{view.count(kind)}"


def _one(view: SweepView, *, by_name: bool) -> None:
    emit(f"{view.name} {view.key[:SHORT_KEY]}: {view.state}{', put away' if view.archived else ''}")
    for line in _facts(view):
        emit_wrapped(line)
    table(
        ("step", "state", "progress", "detail"),
        [
            (
                one.title,
                one.status.state,
                f"{one.status.done}/{one.status.total}" if one.status.total else None,
                one.status.reason or one.status.detail,
            )
            for one in view.steps
        ],
        right=("progress",),
    )
    if by_name and view.namesakes:
        note_wrapped(f"{view.name} is also the name of {', '.join(view.namesakes)}; the latest is shown.")


def _facts(view: SweepView) -> list[str]:
    """Return the lines between a sweep's name and its steps."""
    times = [
        f"submitted {date_text(view.started_at or view.created_at)}",
        f"ended {date_text(view.ended_at)}" if view.ended_at else "",
        f"{clock_text(view.elapsed_s)} elapsed" if view.elapsed_s is not None else "",
        f"{remaining_text(view.remaining_s)} left" if view.remaining_s is not None else "",
        f"{view.device_seconds / 3600:.2f} device-hours" if view.device_seconds else "",
    ]
    lines = [", ".join(filter(None, times))]
    if view.reason:
        lines.append(f"reason: {view.reason}")
    if view.note:
        lines.append(f"note: {view.note}")
    if view.tags:
        lines.append(f"tags: {', '.join(view.tags)}")
    return lines
