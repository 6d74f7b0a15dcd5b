"""What each method of a plan trains, for one target and for all of them, as the papers' tables of parameters.

Pure: from the plan's steps alone. Heads and the frozen backbone are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.planning.baselines import POOL
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import StepId

POOL_ROW = "source adapters"
"""Row of the pool: one adapter, and all that are needed."""


@dataclass(frozen=True)
class MethodCost:
    """One row: a combiner, a baseline, a joint run, or the pool."""

    name: str
    tasks: int
    """Targets, or source tasks of the pool."""
    one: int | None
    """Trained parameters for one task, the greatest where tasks differ; ``None`` if not known."""
    every: int | None
    """The sum over its tasks; ``None`` if one is not known."""
    whole: int | None
    """Parameters of the backbone; ``None`` if not known."""
    with_sources: int | None = None
    """The sum over its tasks and, each once, the adapters that it combines; ``None`` if one is not known."""

    @property
    def one_percent(self) -> float | None:
        """One task's in per cent of the backbone."""
        return _percent(self.one, self.whole)

    @property
    def every_percent(self) -> float | None:
        """All tasks' in per cent of the backbone."""
        return _percent(self.every, self.whole)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "name": self.name,
            "tasks": self.tasks,
            "one_target": self.one,
            "one_target_percent": self.one_percent,
            "all_targets": self.every,
            "all_targets_percent": self.every_percent,
            "with_sources": self.with_sources,
        }


def method_costs(plan: Plan, backbone_parameters: int | None = None) -> tuple[MethodCost, ...]:
    """Return a plan's rows: the pool, baselines, joint runs, combiners. Seeds of one task count once.

    Args:
        plan: A compiled plan.
        backbone_parameters: As read from its files; absent: what its shape says, a pooler included.
    """
    whole = backbone_parameters or _of_shape(plan)
    rows: dict[str, dict[str, int | None]] = {}
    for source in plan.sources:
        name = POOL_ROW if source.job.label == POOL else source.job.label
        rows.setdefault(name, {}).setdefault(source.job.task, source.trainable_parameters)
    joint = {step.job.label: step for step in plan.joints}
    combined: dict[str, dict[StepId, int | None]] = {}
    trained = {one.id: one.trainable_parameters for one in plan.sources}
    trained |= {one.id: one.trainable_parameters for one in plan.joints}
    made_by = {one.id: one.id for one in plan.sources} | {one.id: one.job.joint for one in plan.shares}
    for study in plan.combinations:
        rows.setdefault(study.job.label, {}).setdefault(study.job.task, study.trainable_parameters)
        own = [made_by[need] for need in study.needs if need in made_by]
        sources = combined.setdefault(study.job.label, {})
        sources |= {one: trained[one] for one in own}  # a joint run, which makes several, once
        if len(own) < len(study.job.pool):  # adapters that exist already
            sources[study.id] = None
    pooled = [name for name in rows if name == POOL_ROW or name in {one.job.label for one in plan.sources}]
    found = {name: _cost(name, by_task, whole, combined.get(name, {})) for name, by_task in rows.items()}
    # All tasks of a joint run train its parameters together.
    shared = [
        MethodCost(label, len(step.job.tasks), count, count, whole, count)
        for label, step in joint.items()
        for count in (step.trainable_parameters,)
    ]
    return (
        *(found[name] for name in pooled),
        *shared,
        *(cost for name, cost in found.items() if name not in pooled),
    )


def _cost(
    name: str, by_task: Mapping[str, int | None], whole: int | None, sources: Mapping[StepId, int | None]
) -> MethodCost:
    known = [count for count in by_task.values() if count is not None]
    every = _sum(by_task.values())
    of_sources = _sum(sources.values())
    together = None if every is None or of_sources is None else every + of_sources
    return MethodCost(name, len(by_task), max(known, default=None), every, whole, together)


def _sum(counts: Iterable[int | None]) -> int | None:
    found = list(counts)
    return None if None in found else sum(count for count in found if count is not None)


def _of_shape(plan: Plan) -> int | None:
    shape = plan.facts.backbone.shape
    if shape is None or shape.parameters is None:
        return None
    return shape.parameters + shape.pooler_parameters


def _percent(count: int | None, whole: int | None) -> float | None:
    return None if count is None or not whole else 100 * count / whole
