"""``platform status``: how far sweeps are, from any machine that sees the catalog."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import status
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, table
from adapterlab.driver.progress import SweepView
from adapterlab.records import State, StepKind


def command(
    sweep: Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="Name or key; absent: all.")] = None,
    json: JsonOption = False,
) -> None:
    """Show how far sweeps are."""
    views = status(sweep)
    if json:
        emit_json([view.to_json() for view in views])
    elif sweep is not None:
        _one(views[0])
    elif views:
        _all(views)
    else:
        emit("No spec was submitted yet. `platform submit SPEC` runs one.")


def _all(views: list[SweepView]) -> None:
    table(
        ("sweep", "state", "sources", "studies", "final runs", "failed", "key"),
        [
            (
                view.name,
                view.state,
                *(f"{view.count(kind, State.COMPLETE)}/{view.count(kind)}" for kind in StepKind),
                len(view.in_state(State.FAILED)) or None,
                view.key[:12],
            )
            for view in views
        ],
        right=("sources", "studies", "final runs", "failed"),
    )


def _one(view: SweepView) -> None:
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
        title=f"{view.name}: {view.state}",
        right=("progress",),
    )
