"""A plan at a glance: targets × methods, how many runs each has, how many of these are there, and what is left.

Pure: from the plan's steps and what is known of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.planning.baselines import POOL, BaselineRow
from adapterlab.planning.parameter_counts import POOL_ROW
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import AnyStudy, FinalJob, Job, SelectionJob, Step, StepId
from adapterlab.records import State


@dataclass(frozen=True)
class RunCounts:
    """Runs of one method on one target."""

    runs: int
    cached: int
    """Those in the catalog already."""
    in_flight: int
    """Those that somebody trains at this moment."""

    @property
    def left(self) -> int:
        """Those that nobody has begun."""
        return self.runs - self.cached - self.in_flight

    @classmethod
    def of(cls, states: Sequence[State]) -> RunCounts:
        """Return the counts of some runs' states."""
        return cls(len(states), states.count(State.COMPLETE), states.count(State.RUNNING))

    def to_json(self) -> dict[str, int]:
        """Return it as a JSON-able mapping."""
        return {"runs": self.runs, "cached": self.cached, "in_flight": self.in_flight}


@dataclass(frozen=True)
class MatrixRow:
    """One method: the pool's adapters, a baseline, a joint run, a selection of sources, or a combiner."""

    name: str
    kind: str
    """``"pool"``, ``"baseline"``, ``"joint"``, ``"selection"`` or ``"combiner"``."""
    targets: Mapping[str, RunCounts]
    """By target, those it trains on: adapters of the pool and of a baseline, joint runs, selections, final runs of a
    combiner."""
    others: RunCounts | None
    """Of the pool: its adapters on tasks that are no targets."""
    trials: int | None
    """Of one of its searches, the greatest; ``None`` where it has none."""
    seconds: float | None
    """Device time of what is left, its searches included; ``None`` where that is not known."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "name": self.name,
            "kind": self.kind,
            "targets": {target: counts.to_json() for target, counts in self.targets.items()},
            "others": None if self.others is None else self.others.to_json(),
            "trials": self.trials,
            "device_seconds": self.seconds,
        }


def plan_matrix(
    plan: Plan,
    targets: Sequence[str],
    baselines: Iterable[BaselineRow],
    *,
    state: Callable[[Step[Job]], State],
    seconds: Mapping[StepId, float] | None,
) -> tuple[MatrixRow, ...]:
    """Return a plan's rows: the pool, the baselines, the joint runs, the selections, the combiners.

    A run that the pool and a baseline share is shown in both rows; its time counts for the pool. The time of a search
    that they share counts in both.

    Args:
        plan: A compiled plan.
        targets: Full names, in the order of the spec.
        baselines: The spec's, see ``baseline_rows``.
        state: How far a step is.
        seconds: Device time of every step that is left; ``None``: not known.
    """
    steps = {step.id: step for step in plan.steps}
    rows = (
        [_pool(plan, targets, state, seconds)] if any(one.job.label == POOL for one in plan.sources) else []
    )
    by_label: dict[str, list[BaselineRow]] = {}
    for one in baselines:
        by_label.setdefault(one.label, []).append(one)
    for label, found in by_label.items():
        runs = {row.target: [steps[one] for one in row.steps.values() if one in steps] for row in found}
        own: list[Step[Any]] = [step for step in plan.sources if step.job.label == label]
        searches = [one for one in plan.searches if one.id in {row.study for row in found}]
        joint = [step for step in plan.joints if step.job.label == label]
        every = [*own, *searches, *joint]
        kind = "joint" if joint else "baseline"
        rows.append(
            MatrixRow(label, kind, _counts(runs, state), None, _trials(searches), _sum(every, seconds))
        )
    for label in dict.fromkeys(step.job.label for step in plan.selections):
        selections: dict[str, list[Step[SelectionJob]]] = {}
        for step in plan.selections:
            if step.job.label == label:
                selections.setdefault(step.job.task, []).append(step)
        measured = [one for some in selections.values() for one in some]
        name = f"sources by {measured[0].job.words}"
        counted = _counts(selections, state)
        rows.append(MatrixRow(name, "selection", counted, None, None, _sum(measured, seconds)))
    for label in dict.fromkeys(study.job.label for study in plan.combinations):
        studies = [study for study in plan.combinations if study.job.label == label]
        finals: dict[str, list[Step[FinalJob]]] = {}
        for study in studies:
            finals.setdefault(study.job.task, []).extend(plan.finals_of(study.id))
        of_row: list[Step[Job]] = [*studies, *(one for some in finals.values() for one in some)]
        rows.append(
            MatrixRow(
                label, "combiner", _counts(finals, state), None, _trials(studies), _sum(of_row, seconds)
            )
        )
    return tuple(rows)


def _pool(
    plan: Plan,
    targets: Sequence[str],
    state: Callable[[Step[Job]], State],
    seconds: Mapping[StepId, float] | None,
) -> MatrixRow:
    pooled = [step for step in plan.sources if step.job.label == POOL]
    of_targets = {target: [step for step in pooled if step.job.task == target] for target in targets}
    others = [state(step) for step in pooled if step.job.task not in of_targets]
    counts = _counts({target: some for target, some in of_targets.items() if some}, state)
    needs = {one for step in pooled for one in step.needs}
    searches = [one for one in plan.studies if one.id in needs]
    return MatrixRow(
        POOL_ROW,
        "pool",
        counts,
        RunCounts.of(others) if others else None,
        _trials(searches),
        _sum([*pooled, *searches], seconds),
    )


def _trials(studies: Iterable[Step[AnyStudy]]) -> int | None:
    return max((study.job.search.trials for study in studies), default=None)


def _counts(
    runs: Mapping[str, Sequence[Step[Any]]], state: Callable[[Step[Job]], State]
) -> dict[str, RunCounts]:
    return {target: RunCounts.of([state(one) for one in some]) for target, some in runs.items()}


def _sum(steps: Iterable[Step[Any]], seconds: Mapping[StepId, float] | None) -> float | None:
    return None if seconds is None else sum(seconds.get(step.id, 0.0) for step in steps)
