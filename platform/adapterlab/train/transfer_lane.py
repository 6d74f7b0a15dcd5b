"""Stage 2: a lane that learns to combine a frozen pool, and its head, on a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adapterlab.records import TaskData, TrainSettings
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone, CombinerLayer
from adapterlab.train.rng import stream
from adapterlab.train.source_lane import trainable


def transfer_lane(
    backbone: Backbone,
    pool: SourcePool,
    combiner: CombinerLayer,
    coefficient_shape: tuple[int, int, int],
    task: TaskData,
    settings: TrainSettings,
    *,
    init_scale: float = 2.0,
    dropout: float = 0.0,
    seed: int,
    name: str,
    combiner_settings: Any = None,
    fixed: Mapping[str, Tensor] | None = None,
    token_dependent: bool = False,
    sees_test: bool = False,
) -> Lane:
    """Return a lane with fresh coefficients and a fresh head.

    Args:
        backbone: The frozen backbone.
        pool: The frozen source adapters, in coefficient order; as ``combination.pool_for`` makes it.
        combiner: Torch side of the combiner.
        coefficient_shape: (L or 1, T, d or 1).
        task: The target task.
        settings: How to train.
        init_scale: Coefficients start at N(init_scale / T, 0.001).
        dropout: Probability of the combiner's dropout, in [0, 1).
        seed: Seed of init, data order and dropout.
        name: Shown in progress and results.
        combiner_settings: The combiner's settings, validated.
        fixed: The combiner's fixed tensors, if it has any; they are not trained.
        token_dependent: Whether the combiner's coefficients differ from token to token; their means over
            the test split are then part of the result.
        sees_test: Whether the best epoch is evaluated once on the test split.

    Raises:
        DataError: A row is longer than the backbone can take.
    """
    tensors = combiner.initial(
        combiner_settings,
        coefficient_shape,
        backbone.shape.hidden_size,
        init_scale,
        stream(seed, "combiner init"),
    )
    placed = {
        name: tensor.to(device=backbone.device, dtype=backbone.dtype)
        for name, tensor in (fixed or {}).items()
    }
    return Lane(
        name=name,
        task=task,
        adaptation=Combination(
            pool, combiner, dropout, combiner_settings, placed, token_dependent=token_dependent
        ),
        settings=settings,
        seed=seed,
        tensors=trainable(backbone, task, tensors, seed),
        sees_test=sees_test,
        device=backbone.device,
    )
