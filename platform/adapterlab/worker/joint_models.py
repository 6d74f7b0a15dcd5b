"""A joint run as a worker makes it: the model over its tasks, new or as an earlier worker left it."""

from __future__ import annotations

from collections.abc import Sequence

from adapterlab.errors import CorruptBlobError, UsageError
from adapterlab.fingerprint import digest_of
from adapterlab.planning.steps import AdapterRecipe, Settings
from adapterlab.records import JointSettings, TaskData
from adapterlab.registry.entry_points import adapter_method, joint_method
from adapterlab.train.joint.run import JointRun
from adapterlab.worker.worker import Worker


def joint_run(
    worker: Worker,
    method: str,
    settings: Settings,
    training: JointSettings,
    tasks: Sequence[TaskData],
    *,
    seed: int,
    name: str,
) -> JointRun:
    """Return a run that has not taken a step.

    Args:
        worker: Where it trains.
        method: Name of an installed joint method.
        settings: The method's.
        training: How it trains.
        tasks: In the order of the run.
        seed: Of init, batches and dropout.
        name: Shown in progress and results.

    Raises:
        UsageError: The method's settings do not fit the backbone.
    """
    plugin = joint_method(method)
    layer = plugin.layer(
        plugin.settings.model_validate(settings), worker.backbone.shape, [one.facts.task for one in tasks]
    )
    return JointRun(worker.backbone, layer, tasks, training, seed=seed, name=name)


def go_on(worker: Worker, run: JointRun, key: str) -> bool:
    """Let a run go on from a checkpoint; return whether there is one of this very run.

    Args:
        worker: Where it trains.
        run: New.
        key: The checkpoint's.
    """
    left = worker.catalog.blobs.checkpoint(key)
    if left is None:
        return False
    try:
        run.restore(left)
    except (CorruptBlobError, UsageError):  # of another version of the code: it begins anew
        return False
    return True


def trial_checkpoint(study: str, trial: int, seed: int, fold: int | None = None) -> str:
    """Return the key of what a trial's run goes on from, and the final run of its seed where the trial is chosen.

    Args:
        study: The study's key.
        trial: Number of the trial.
        seed: Of the run.
        fold: Part of the training rows that validates it; ``None``: none.
    """
    return digest_of({"study": study, "trial": trial, "seed": seed, "fold": fold})


def own_adapter(method: str, settings: Settings) -> AdapterRecipe | None:
    """Return what a task's adapter of a joint run is by itself; ``None``: none.

    Args:
        method: Name of an installed joint method.
        settings: The method's.
    """
    plugin = joint_method(method)
    made = plugin.adapters(plugin.settings.model_validate(settings))
    return None if made is None else AdapterRecipe.of(adapter_method(made[0]), made[1])
