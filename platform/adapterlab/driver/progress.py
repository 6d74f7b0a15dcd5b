"""How far a sweep is, as one value a screen can draw; the same for its driver and for onlookers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from adapterlab.catalog.records import StepStatus, SweepRecord, SweepStep
from adapterlab.catalog.store import Catalog
from adapterlab.driver import forecast
from adapterlab.driver.forecast import StepWork
from adapterlab.planning.estimate import EARLY_STOP
from adapterlab.records import State, StepKind


@dataclass(frozen=True)
class StepView:
    """One step on the screen."""

    title: str
    kind: StepKind
    status: StepStatus
    train_rows: int | None = None
    """Rows it trains on at most, over all epochs; ``None``: not known."""


@dataclass(frozen=True)
class SweepView:
    """A whole sweep on the screen."""

    name: str
    key: str
    state: State
    steps: tuple[StepView, ...]
    phase: str = ""
    """What the driver does while no step is in work; empty for onlookers."""
    waiting: str = ""
    """What everything waits for, in words; empty while all goes on."""
    events: tuple[str, ...] = ()
    """What has befallen this submit without stopping it, oldest first; empty for onlookers."""
    reason: str | None = None
    """Why it ended without being complete."""
    created_at: float | None = None
    """When it was first submitted, in seconds since 1970, as all of its times."""
    started_at: float | None = None
    """When it was submitted last; ``None``: not known."""
    ended_at: float | None = None
    """When it ended; ``None``: it runs, or nobody knows."""
    archived: bool = False
    """Whether it was put away."""
    exit_code: int | None = None
    """What the submit that ended it returned; ``None``: it runs, or its process was killed."""
    device_seconds: float | None = None
    """Workers × seconds it has had, over all its submits."""
    note: str | None = None
    tags: tuple[str, ...] = ()
    """What people note of it."""
    namesakes: tuple[str, ...] = ()
    """Other sweeps of this name, each by the first digits of its key, its date and its state."""

    def count(self, kind: StepKind, *states: State) -> int:
        """Return the number of steps of a kind, in any of the states if some are given."""
        return sum(one.kind is kind and (not states or one.status.state in states) for one in self.steps)

    def in_state(self, *states: State) -> tuple[StepView, ...]:
        """Return the steps in any of the states."""
        return tuple(one for one in self.steps if one.status.state in states)

    @property
    def elapsed_s(self) -> float | None:
        """Seconds of its last submit, until now or its end; ``None`` where nobody knows when it ended."""
        if self.started_at is None:
            return None
        end = time.time() if self.state is State.RUNNING else self.ended_at
        return None if end is None else max(0.0, end - self.started_at)

    @property
    def remaining_s(self) -> float | None:
        """Seconds it will take from now, guessed from what this submit has done; ``None``: too early to say."""
        elapsed = self.elapsed_s
        if self.state is not State.RUNNING or elapsed is None or self.started_at is None:
            return None
        return remaining_s(self.steps, elapsed, self.started_at)

    def to_json(self) -> dict[str, Any]:
        """Return the view as a JSON-able mapping; times as ISO 8601 in UTC."""
        return {
            "name": self.name,
            "key": self.key,
            "state": str(self.state),
            "reason": self.reason,
            "created_at": _iso(self.created_at),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
            "elapsed_s": self.elapsed_s,
            "remaining_s": self.remaining_s,
            "exit_code": self.exit_code,
            "device_seconds": self.device_seconds,
            "archived": self.archived,
            "note": self.note,
            "tags": list(self.tags),
            "namesakes": list(self.namesakes),
            "steps": [
                {"title": one.title, "kind": str(one.kind), **one.status.to_json()} for one in self.steps
            ],
        }


def remaining_s(steps: Iterable[StepView], elapsed_s: float, started_at: float) -> float | None:
    """Guess how long the steps that are not done will take; see ``forecast``.

    A step weighs as many rows as it is expected to train on.

    Args:
        steps: All of a sweep.
        elapsed_s: Seconds since it was submitted, >= 0.
        started_at: When that was, in seconds since 1970: what was complete before is no work of this submit.

    Returns:
        Seconds, >= 0; ``None`` where too little is done, or a step's rows are not known.
    """
    works = []
    for one in steps:
        status = one.status
        touched_at = status.updated_at if (status.updated_at or 0.0) >= started_at else None
        if status.state is State.FAILED or (status.state is State.COMPLETE and touched_at is None):
            continue
        if one.train_rows is None:
            return None
        weight = EARLY_STOP[one.kind] * one.train_rows
        if status.state is State.COMPLETE:
            works.append(StepWork(weight, weight, told_at=touched_at))
        elif status.state is State.RUNNING and status.total:
            told = weight * min(1.0, status.done / status.total)
            # What was told before this submit is done, but says nothing of how fast this one is.
            own = (weight, told) if touched_at is not None else (weight - told, 0.0)
            works.append(StepWork(*own, weight / status.total, touched_at or started_at, at_work=True))
        else:
            works.append(StepWork(weight))
    return forecast.remaining_s(works, started_at, started_at + elapsed_s)


def view_sweep(catalog: Catalog, sweep: SweepRecord) -> SweepView:
    """Return how far a recorded sweep is."""
    statuses = catalog.status(step.key for step in sweep.steps if step.key is not None)
    return SweepView(
        sweep.name,
        sweep.key,
        sweep.state,
        _views(sweep.steps, statuses),
        reason=sweep.reason,
        created_at=sweep.created_at,
        started_at=sweep.started_at,
        ended_at=sweep.ended_at,
        archived=sweep.archived,
        exit_code=sweep.exit_code,
        device_seconds=sweep.device_seconds,
        note=sweep.note,
        tags=sweep.tags,
    )


def with_namesakes(catalog: Catalog, view: SweepView, sweep: SweepRecord) -> SweepView:
    """Return a view that says which other sweeps have its name."""
    return replace(view, namesakes=tuple(one.told_apart for one in catalog.namesakes(sweep)))


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _views(steps: Sequence[SweepStep], statuses: Mapping[str, StepStatus]) -> tuple[StepView, ...]:
    return tuple(
        StepView(step.title, step.kind, _seen(statuses[step.key]), step.train_rows)
        for step in steps
        if step.key is not None
    )


def _seen(status: StepStatus) -> StepStatus:
    """A step its driver holds but no worker has begun is waiting, to an onlooker."""
    if status.state is State.RUNNING and status.detail is None:
        return replace(status, state=State.PENDING, owner=None)
    return status
