"""What the keys of steps have in common: versions of the code, and what is known of backbone and task."""

from __future__ import annotations

from collections.abc import Mapping

from adapterlab.fingerprint import Json, key_of
from adapterlab.planning.facts import Facts
from adapterlab.planning.steps import RunRows
from adapterlab.records import BackboneShape, StepKind, TaskFacts, row_length
from adapterlab.registry import entry_points
from adapterlab.spec.model import Spec

STEP_VERSIONS: Mapping[StepKind, int] = {
    StepKind.JOINT: 1,
    StepKind.SOURCE: 3,
    StepKind.SELECTION: 1,
    StepKind.STUDY: 4,
    StepKind.TRANSFER: 2,
}
"""Raise a kind's version when the code that does it gives other results; old results stay usable
under their own keys.

Those of sources, studies and transfers went up by one when what dropout draws became a matter of seed, step, site and
position (`docs/decisions/0010`); studies before that when TPE and the pruner came to see whole rounds of trials
(`docs/decisions/0009`)."""
PREPROCESSING_VERSION = 1


def step_key(kind: StepKind, inputs: Mapping[str, Json]) -> str:
    """Return the key of a step.

    Args:
        kind: What it does.
        inputs: Everything that decides its result.
    """
    return key_of(str(kind), STEP_VERSIONS[kind], inputs)


def is_known(facts: Facts, *tasks: str) -> bool:
    """Return whether the content of the backbone and of some tasks is at hand, so that there can be a key."""
    return facts.backbone.resolved and all(facts.tasks[task].content_digest is not None for task in tasks)


def common_inputs(spec: Spec, facts: Facts, task: str, rows: RunRows) -> dict[str, Json]:
    """Return what a key holds of the backbone, a task, and how its rows become tokens."""
    return {"backbone": backbone_inputs(spec, facts), **task_inputs(spec, facts, task, rows)}


def backbone_inputs(spec: Spec, facts: Facts) -> dict[str, Json]:
    """Return what a key holds of the backbone."""
    return {**facts.backbone.identity(), "precision": spec.backbone.precision}


def task_inputs(spec: Spec, facts: Facts, task: str, rows: RunRows) -> dict[str, Json]:
    """Return what a key holds of a task, and of how its rows become tokens."""
    return {
        "task": facts.tasks[task].identity(),
        "preprocessing": {
            "version": PREPROCESSING_VERSION,
            "max_length": row_length(spec.data.max_length, facts.tasks[task].max_length),
            **rows.identity(),
        },
    }


def told_rows(rows: RunRows, *, few: bool) -> RunRows | None:
    """Return what a worker is told of a run's rows; nothing where they are the sweep's own."""
    return rows if few or rows.validation is not None else None


def head_parameters(shape: BackboneShape | None, task: TaskFacts) -> int | None:
    """Return the size of a task's head; ``None`` while its labels or the backbone's shape are not known.

    Raises:
        UsageError: The head cannot answer the task.
    """
    if not task.n_labels:
        return None
    # Asked here, so that a head that cannot answer is no worker's to find out.
    head = entry_points.head_for(task.head, task.problem_type, task.n_labels, task=task.task)
    return None if shape is None else head.parameters(shape.hidden_size, task.n_labels)
