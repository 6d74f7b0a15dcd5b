"""Stage 1: a lane that trains one source adapter and its head on one task."""

from __future__ import annotations

from typing import Any

from adapterlab.errors import DataError
from adapterlab.records import TaskData, TrainSettings
from adapterlab.train import head
from adapterlab.train.adaptation import OwnAdapter, trained_in, trains_backbone
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone, MethodLayer, Tensors
from adapterlab.train.rng import stream


def source_lane(
    backbone: Backbone,
    method: MethodLayer,
    method_settings: Any,
    task: TaskData,
    settings: TrainSettings,
    *,
    seed: int,
    name: str,
    sees_test: bool = False,
) -> Lane:
    """Return a lane with a freshly initialised adapter and head.

    A method that trains the backbone's own weights starts from a copy of them.

    Args:
        backbone: The frozen backbone.
        method: Torch side of the adapter method.
        method_settings: Its settings.
        task: The source task.
        settings: How to train.
        seed: Seed of init, data order and dropout.
        name: Shown in progress and results.
        sees_test: Whether the best epoch is evaluated once on the test split.

    Raises:
        DataError: A row is longer than the backbone can take.
    """
    tensors = (
        backbone.weights()
        if trains_backbone(method)
        else method.initial(method_settings, backbone.shape, stream(seed, "adapter init"))
    )
    return Lane(
        name=name,
        task=task,
        adaptation=OwnAdapter(method, method_settings),
        settings=settings,
        seed=seed,
        tensors=trainable(backbone, task, tensors, seed),
        sees_test=sees_test,
        device=backbone.device,
    )


def trainable(backbone: Backbone, task: TaskData, tensors: Tensors, seed: int) -> Tensors:
    """Return ``tensors`` and a fresh head as leaves that need gradients, where the backbone is.

    Raises:
        DataError: A row is longer than the backbone can take.
    """
    longest = max(int(split.lengths.max()) for split in (task.train, task.validation, task.test))
    if longest > backbone.max_length:
        raise DataError(
            f"{task.facts.task}: a row has {longest} tokens, the backbone takes {backbone.max_length}",
            remedy=f"Set data.max_length to {backbone.max_length} or less.",
        )
    fresh = tensors | head.initial(backbone.shape.hidden_size, task.facts.n_labels, stream(seed, "head init"))
    return {
        name: tensor.to(device=backbone.device, dtype=trained_in(backbone.dtype)).requires_grad_()
        for name, tensor in fresh.items()
    }
