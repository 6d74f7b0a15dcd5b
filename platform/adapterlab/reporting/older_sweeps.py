"""What the steps of a sweep are that was recorded before steps had an identity: only their titles tied them.

Their spec says it: compiled again, it gives the same titles, each with its step's identity. Where it cannot
be compiled any more (a plug-in is gone, or it is of another version), titles are read as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from adapterlab.catalog.records import SweepStep
from adapterlab.errors import AdapterlabError
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.facts import Facts
from adapterlab.planning.steps import StepId
from adapterlab.records import StepKind
from adapterlab.spec.model import Spec

_SEPARATOR = " · "
_SEED = re.compile(r"seed (\d+)$")
_ROWS = re.compile(r" · (\d+) rows · ")
_POOL = "source"


def identities(
    steps: Sequence[SweepStep], spec: str, targets: Sequence[str], tasks: Mapping[str, str]
) -> dict[str, StepId]:
    """Return the identity of each step by its title.

    Args:
        steps: Of a sweep recorded before steps had an identity.
        spec: Its resolved spec, as JSON text.
        targets: Full names of its target tasks, as far as known.
        tasks: Full names of tasks by key, of the steps that have a result.
    """
    try:
        resolved = Spec.model_validate_json(spec)
        plan = compile_plan(resolved, Facts.unknown(resolved))
    except (AdapterlabError, ValueError):
        known = {}
    else:
        known = {step.title: step.id for step in plan.steps}
    names = (*targets, *tasks.values())
    found: dict[str, StepId] = {}
    for step in steps:  # studies before their final runs
        found[step.title] = known.get(step.title) or _read(step, tasks.get(step.key or ""), names, found)
    return found


def _read(step: SweepStep, task: str | None, names: Sequence[str], found: Mapping[str, StepId]) -> StepId:
    """Return what a title says: ``source · rte · 16 rows · seed 0``, ``rte · scalearn``, or a final run's."""
    seed = int(match[1]) if (match := _SEED.search(step.title)) else None
    if step.kind is StepKind.TRANSFER:
        study = next((found[need] for need in step.needs if need in found), None)
        if study is not None:
            return replace(study, kind=StepKind.TRANSFER, seed=seed)
    parts = step.title.split(_SEPARATOR)
    if step.kind is StepKind.SOURCE:
        rows = int(match[1]) if (match := _ROWS.search(step.title)) else None
        shown = parts[1] if len(parts) > 1 else step.title
        label = None if parts[0] == _POOL else parts[0]
        return StepId(step.kind, task or _full(shown, names), label, rows, seed)
    shown = parts[0] if len(parts) > 1 else step.title
    label = _SEPARATOR.join(parts[1:]) or step.title
    return StepId(step.kind, task or _full(shown, names), label, seed=seed)


def _full(shown: str, names: Sequence[str]) -> str:
    """Return the full name of a task as a title shows it."""
    fitting = {task for task in names if task == shown or task.rsplit("/", 1)[-1] == shown}
    return fitting.pop() if len(fitting) == 1 else shown
