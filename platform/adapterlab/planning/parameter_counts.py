"""What each method of a plan trains, for one target and for all of them, as the papers' tables of parameters.

Pure: from the plan's steps alone. Heads and the frozen backbone are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.planning.baselines import POOL
from adapterlab.planning.compile import Plan

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
    for study in plan.studies:
        rows.setdefault(study.job.label, {}).setdefault(study.job.task, study.trainable_parameters)
    pooled = [name for name in rows if name == POOL_ROW or name in {one.job.label for one in plan.sources}]
    found = {name: _cost(name, by_task, whole) for name, by_task in rows.items()}
    # All tasks of a joint run train its parameters together.
    shared = [
        MethodCost(label, len(step.job.tasks), step.trainable_parameters, step.trainable_parameters, whole)
        for label, step in joint.items()
    ]
    return (
        *(found[name] for name in pooled),
        *shared,
        *(cost for name, cost in found.items() if name not in pooled),
    )


def _cost(name: str, by_task: Mapping[str, int | None], whole: int | None) -> MethodCost:
    known = [count for count in by_task.values() if count is not None]
    every = sum(known) if len(known) == len(by_task) else None
    return MethodCost(name, len(by_task), max(known, default=None), every, whole)


def _of_shape(plan: Plan) -> int | None:
    shape = plan.facts.backbone.shape
    if shape is None or shape.parameters is None:
        return None
    return shape.parameters + shape.pooler_parameters


def _percent(count: int | None, whole: int | None) -> float | None:
    return None if count is None or not whole else 100 * count / whole
