"""Warn of a pool that has seen a target's rows under another task's name."""

from __future__ import annotations

from adapterlab.errors import NotFoundError
from adapterlab.registry import entry_points
from adapterlab.spec.model import Spec


def overlap_warnings(spec: Spec) -> tuple[str, ...]:
    """Return one sentence for each target whose pool holds tasks that share rows or texts with it.

    A target's own source is no overlap: it is trained on the target's train split alone.
    """
    warnings = []
    for target in spec.targets.tasks:
        shared = [source for source in spec.pool_for(target) if source != target and _overlap(source, target)]
        if shared:
            warnings.append(
                f"{target} shares rows or texts with {_and(shared)} in its pool: "
                "what it gains may be what they have seen of it"
            )
    return tuple(warnings)


def _overlap(one: str, other: str) -> bool:
    return other in _overlaps_of(one) or one in _overlaps_of(other)


def _overlaps_of(task: str) -> tuple[str, ...]:
    try:
        return entry_points.task_definition(task).overlaps
    except NotFoundError:
        return ()  # declared in the spec itself


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
