"""Make a sweep's tasks ready once, before workers start: read, tokenised, in this machine's cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from adapterlab.planning.compile import Plan
from adapterlab.worker.context import Context

_TELL_S = 0.25


def prefetch(plan: Plan, missing: Collection[str], context: Context, tell: Callable[[str], None]) -> None:
    """Tokenise the tasks of steps that are to be done; what is there already costs a look.

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

    needed = dict.fromkeys(
        str(step.job["task"]) for step in plan.steps if step.key in missing and "task" in step.job
    )
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
            backbone_folder=Path(str(context.backbone["folder"])),
            max_length=context.max_length,
            progress=progress,
        )
