"""How far a sweep is, as one value a screen can draw; the same for its driver and for onlookers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapterlab.catalog.records import StepStatus, SweepRecord, SweepStep
from adapterlab.catalog.store import Catalog
from adapterlab.records import State, StepKind


@dataclass(frozen=True)
class StepView:
    """One step on the screen."""

    title: str
    kind: StepKind
    status: StepStatus


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

    def count(self, kind: StepKind, *states: State) -> int:
        """Return the number of steps of a kind, in any of the states if some are given."""
        return sum(one.kind is kind and (not states or one.status.state in states) for one in self.steps)

    def in_state(self, *states: State) -> tuple[StepView, ...]:
        """Return the steps in any of the states."""
        return tuple(one for one in self.steps if one.status.state in states)

    def to_json(self) -> dict[str, Any]:
        """Return the view as a JSON-able mapping."""
        return {
            "name": self.name,
            "key": self.key,
            "state": str(self.state),
            "steps": [
                {"title": one.title, "kind": str(one.kind), **one.status.to_json()} for one in self.steps
            ],
        }


def view_sweep(catalog: Catalog, sweep: SweepRecord) -> SweepView:
    """Return how far a recorded sweep is."""
    statuses = catalog.status(step.key for step in sweep.steps if step.key is not None)
    return SweepView(sweep.name, sweep.key, sweep.state, _views(sweep.steps, statuses))


def _views(steps: Sequence[SweepStep], statuses: Mapping[str, StepStatus]) -> tuple[StepView, ...]:
    return tuple(
        StepView(step.title, step.kind, _seen(statuses[step.key])) for step in steps if step.key is not None
    )


def _seen(status: StepStatus) -> StepStatus:
    """A step its driver holds but no worker has begun is waiting, to an onlooker."""
    if status.state is State.RUNNING and status.detail is None:
        return replace(status, state=State.PENDING, owner=None)
    return status
