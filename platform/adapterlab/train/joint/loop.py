"""The loop of joint runs: several of them in one pass over the frozen backbone, each with its batch of one task.

A run's result does not depend on those beside it. One that trains the backbone's own weights has no company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from adapterlab.records import JointEvaluation, JointResult, State
from adapterlab.train.capacity import Capacity
from adapterlab.train.evaluate import Evaluation, evaluate
from adapterlab.train.finite import rows_without_answer, told
from adapterlab.train.freed_memory import SPARE
from adapterlab.train.joint.run import JointRun
from adapterlab.train.layers import Tensors
from adapterlab.train.step import Steps, nothing, shared_time

OnEvaluation = Callable[[JointRun, JointEvaluation], bool]
"""Called after each evaluation; ``False`` prunes the run."""


def train_joint_runs(
    next_run: Callable[[], JointRun | None],
    *,
    capacity: Capacity | int,
    on_evaluation: OnEvaluation,
    on_pass: Callable[[], None] = nothing,
    sees_test: bool = False,
) -> Iterator[tuple[JointRun, JointResult]]:
    """Train joint runs until there are no more, each from where it is, yielding each one's result when it leaves.

    Args:
        next_run: Gives a run, new or restored from a checkpoint, on the same backbone as the others, for a free place, or ``None`` when there is none;
            asked again whenever a place is free.
        capacity: Most runs in one pass, >= 1, or what finds it.
        on_evaluation: Told of every evaluation; its answer prunes. A good moment for a checkpoint.
        on_pass: Called after each pass, of a step or an evaluation; may raise to stop, after which checkpoints can be
            made as well.
        sees_test: Whether the best tensors are evaluated once on the test splits.

    Yields:
        Runs and their results in the order they end: complete, pruned, or failed with a reason.

    Raises:
        TrainingError: A single run's step does not fit into memory.
    """
    shared = Capacity(capacity) if isinstance(capacity, int) else capacity
    first = next_run()
    if first is None:
        return
    active = [first]
    with Steps[JointRun](first.model.backbone, shared) as steps:
        while True:
            while _has_place(active, shared.lanes) and (run := next_run()) is not None:
                steps.settle()
                active.append(run)
            if not active:
                return
            if any(run.evaluation_due or run.finished for run in active):
                steps.settle()
            pruned = {
                run
                for run in active
                if run.evaluation_due
                and not on_evaluation(run, evaluate_joint(run, on_pass))
                and not run.finished
            }
            if leaving := [run for run in active if run.finished or run in pruned]:
                active = [run for run in active if run not in leaving]
                for run in leaving:
                    yield run, _result(run, on_pass, pruned=run in pruned, sees_test=sees_test)
                continue
            steps.take(active)
            SPARE.give_back()
            on_pass()


def train_joint(
    run: JointRun,
    *,
    on_evaluation: OnEvaluation,
    on_pass: Callable[[], None] = nothing,
    sees_test: bool = False,
) -> JointResult:
    """Train one run to its end, as :func:`train_joint_runs` does several, and return its result."""
    waiting = [run]
    ((_, result),) = train_joint_runs(
        lambda: waiting.pop() if waiting else None,
        capacity=1,
        on_evaluation=on_evaluation,
        on_pass=on_pass,
        sees_test=sees_test,
    )
    return result


def evaluate_joint(run: JointRun, on_pass: Callable[[], None] = nothing) -> JointEvaluation:
    """Evaluate every task of a run on its validation split, and keep the run's tensors if they are the best so far."""
    with shared_time([run]):
        found = _answers(run, run.tensors, on_pass, test=False)
    return run.close_evaluation(found)


def _has_place(active: Sequence[JointRun], capacity: int) -> bool:
    return len(active) < capacity and not any(run.exclusive for run in active)


def _result(run: JointRun, on_pass: Callable[[], None], *, pruned: bool, sees_test: bool) -> JointResult:
    """Return a run's result; the test splits are seen here, once."""
    if pruned:
        return run.result(State.PRUNED)
    if run.reason is not None:
        return run.result(State.FAILED)
    if not sees_test:
        return run.result(State.COMPLETE)
    found = dict(zip(run.tasks, _answers(run, run.best_tensors, on_pass, test=True), strict=True))
    for task, one in found.items():
        if bad := rows_without_answer(one.outputs):
            return run.result(State.FAILED, reason=f"test split of {task}: {told(bad)}")
    return replace(
        run.result(State.COMPLETE),
        test_metrics={task: one.metrics for task, one in found.items()},
        test_outputs={task: one.outputs for task, one in found.items()},
    )


@torch.no_grad()
def _answers(run: JointRun, tensors: Tensors, on_pass: Callable[[], None], *, test: bool) -> list[Evaluation]:
    tasks = list(run.tasks.values())
    splits = [one.test if test else one.validation for one in tasks]
    return evaluate(
        run.model.backbone, run.seats(tensors), splits, [one.facts for one in tasks], on_pass=on_pass
    )
