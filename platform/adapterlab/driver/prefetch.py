"""The tasks of a sweep, read and tokenised once before workers start."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import is_joint, is_joint_study
from adapterlab.worker.orders import Context

_TELL_S = 0.25


def prefetch(plan: Plan, missing: Collection[str], context: Context, tell: Callable[[str], None]) -> None:
    """Make the tasks of steps that are to be done ready once, before workers start.

    They are read and tokenised, in this machine's cache; what is there already costs a look.

    Args:
        plan: The plan.
        missing: Keys of the steps that are not complete.
        context: Where data and caches are.
        tell: Told what is being done, a few times a second; may raise to stop.

    Raises:
        DataError: A task's data is malformed, or changed since it was planned.
        BackboneError: The backbone cannot take rows so long.
    """
    from adapterlab.data.task_data import load_task

    sources = (step.job.task for step in plan.sources if step.key in missing)
    joint = (
        one.task
        for step in plan.steps
        if (is_joint(step) or is_joint_study(step)) and step.key in missing
        for one in step.job.tasks
    )
    studies = (step.job.task for step in plan.studies if step.key in missing)
    selections = (
        task
        for step in plan.selections
        if step.key in missing
        for task in (
            step.job.task,
            *(one.task for one in step.job.candidates if step.job.max_rows is not None),
        )
    )
    needed = dict.fromkeys((*sources, *joint, *selections, *studies))
    told = 0.0
    for task in needed:

        def progress(what: str, done: int, total: int, task: str = task) -> None:
            nonlocal told
            if time.monotonic() - told >= _TELL_S:
                told = time.monotonic()
                tell(f"{what} {task}: {done:,} of {total:,} rows")

        load_task(
            context.library,
            task,
            backbone_folder=Path(context.backbone.folder),
            max_length=context.max_length,
            progress=progress,
        )
