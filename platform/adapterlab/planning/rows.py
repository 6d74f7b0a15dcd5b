"""Which rows of its task a run trains and validates on; pure, from the spec and the tasks' facts.

Few-shot: a target's own adapter, its studies and final runs, and the baselines on it train on
``data.few_shot`` rows; the other sources of its pool keep all of theirs. With a ``fixed`` draw these are
the first rows of the shuffled train split, which is what ``data.max_train_rows`` means, and their keys
are the same. With ``per_seed`` every seed has rows of its own.

Source: CPJKU/ScaLearn@81d77ea8, ``--max_train_samples``, ``--max_eval_samples`` and ``--max_steps``.
"""

from __future__ import annotations

from math import ceil
from typing import TypeVar

from adapterlab.planning.steps import RunRows
from adapterlab.records import TaskFacts
from adapterlab.spec.model import Spec
from adapterlab.spec.ranges import greatest
from adapterlab.spec.training import SourceSpec, TransferSpec

Training = TypeVar("Training", SourceSpec, TransferSpec)


def run_rows(spec: Spec, facts: TaskFacts, *, few: bool, draw: int | None = None) -> RunRows:
    """Return the rows of a run.

    Args:
        spec: The spec.
        facts: Of the run's task.
        few: Whether it is one of those that ``data.few_shot`` concerns.
        draw: Seed of the run, with ``few_shot_draw = "per_seed"``.
    """
    data, rows = spec.data, few_rows_of(spec)
    few = few and rows is not None
    train = _below(rows if few else data.max_train_rows, facts.n_train)
    limits_validation = few or rows is None
    return RunRows(
        train=train,
        draw=draw if train is not None and few else None,
        validation=_below(data.max_validation_rows, facts.n_validation) if limits_validation else None,
    )


def few_rows_of(spec: Spec) -> int | None:
    """Return on how many rows the targets of a variant train, see ``variants``; ``None``: on all."""
    (rows,) = spec.data.few_rows
    return rows


def draw_of(spec: Spec, seed: int) -> int | None:
    """Return the seed a run's rows are drawn with, if every seed has its own."""
    return seed if spec.data.few_shot_draw == "per_seed" else None


def own_seeds(spec: Spec) -> tuple[int, ...]:
    """Return the seeds of the few-shot adapters each target needs in its pool, the study's first."""
    if spec.data.few_shot_draw == "fixed":
        return spec.source.seeds
    return tuple(dict.fromkeys((spec.search.seed, *spec.final.seeds)))


def few_shot_spec(spec: Spec) -> Spec:
    """Return the spec as runs on few rows see it: with the training of ``[few_shot]``."""
    if few_rows_of(spec) is None:
        return spec
    return spec.model_copy(
        update={"source": _trained(spec, spec.source), "transfer": _trained(spec, spec.transfer)}
    )


def _trained(spec: Spec, training: Training) -> Training:
    changed = spec.few_shot.over(training)
    rows = few_rows_of(spec)
    if spec.few_shot.max_steps is None or rows is None:
        return changed
    # The spec refuses a searched batch size beside max_steps.
    steps_an_epoch = ceil(rows / greatest(changed.batch_size))
    return changed.model_copy(update={"max_epochs": ceil(spec.few_shot.max_steps / steps_an_epoch)})


def _below(limit: int | None, rows: int | None) -> int | None:
    """Return a limit that limits; ``None`` for one that does not, however it was written."""
    return None if limit is None or rows is None or limit >= rows else limit
