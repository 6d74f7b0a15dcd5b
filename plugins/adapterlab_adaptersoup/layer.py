"""AdapterSoup's mathematics: how similar two tasks are, and one adapter of several.

The similarity of two tasks is the mean cosine over all pairs of their texts. With unit vectors that is
the scalar product of their two mean vectors: O(n) instead of O(n²), and exact.

Source: ScaLearn (arXiv 2310.01217), appendix A.1, whose intent this is: the official code compares with
three sentences of the target only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapterlab.errors import TrainingError, UsageError
from adapterlab.train.layers import FrozenPool, PoolContext, Tensors
from adapterlab_adaptersoup.vectors import task_vector


@dataclass(frozen=True)
class AdapterSoupLayer:
    """Torch side of AdapterSoup."""

    def initial(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        size: tuple[int, int, int],  # noqa: ARG002
        hidden_size: int,  # noqa: ARG002
        init_scale: float,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
    ) -> Tensors:
        """Return nothing: only the head is trained."""
        return {}

    def fixed(self, settings: Any, size: tuple[int, int, int], pool: PoolContext) -> Tensors:
        """Return the average's weights as ``omega`` and the similarities behind them, (1, T, 1) each.

        Raises:
            TrainingError: No source's texts are like the target's.
            UsageError: The tasks' texts or the encoder are not at hand.
        """
        if "encoder" not in pool.models or pool.cache is None:
            raise UsageError(
                "adaptersoup weighs by the tasks' texts, which are not known here",
                remedy="Give the weights: coefficients = one number an adapter, (1, T, 1).",
            )
        vectors = {
            task: task_vector(task, settings, pool) for task in dict.fromkeys((*pool.sources, pool.target))
        }
        similarity = torch.stack([vectors[task] @ vectors[pool.target] for task in pool.sources])
        return {
            "omega": soup_weights(similarity, settings.top_k).reshape(size).float(),
            "similarity": similarity.reshape(size).float(),
        }

    def reduce(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        tensors: Mapping[str, Tensor],
        adapters: Sequence[Mapping[str, Tensor]],
    ) -> Tensors:
        """Return the adapter whose every parameter is the weighted mean of the sources'."""
        weights = tensors["omega"].detach().flatten().double().cpu().tolist()
        used = [(one, weight) for one, weight in zip(adapters, weights, strict=True) if weight]
        if not used:
            return {name: torch.zeros_like(tensor) for name, tensor in adapters[0].items()}
        shapes = [{name: tensor.shape for name, tensor in one.items()} for one, _ in used]
        if any(one != shapes[0] for one in shapes):
            raise UsageError("adapters of different sizes have no mean; adaptersoup needs equal ones")
        return {
            name: torch.stack([weight * one[name].double() for one, weight in used]).sum(0).to(tensor.dtype)
            for name, tensor in used[0][0].items()
        }

    def forward(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        tensors: Mapping[str, Tensor],  # noqa: ARG002 - the weights are in the one adapter already
        point: int,  # noqa: ARG002
        pool: FrozenPool,
        x: Tensor,  # noqa: ARG002
        h: Tensor,
        *,
        dropout: float,  # noqa: ARG002 - there is nothing to drop
        generator: torch.Generator | None,  # noqa: ARG002
        observe: Callable[[Tensor], None] | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return the output of the one adapter, (N, r) -> (N, d)."""
        return torch.addmm(pool.bias[0], h, pool.up[0].T)

    def coefficients(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return the weights of the average, (1, T, 1); they weigh parameters, not outputs."""
        return tensors["omega"].detach()


def soup_weights(similarity: Tensor, top_k: int) -> Tensor:
    """Return weights that sum to 1: similarities of the ``top_k`` greatest, negative ones counted as 0.

    Args:
        similarity: Mean cosine of each source with the target, (T,).
        top_k: How many are used; of equals the earlier ones.

    Raises:
        TrainingError: None is greater than 0.
    """
    positive = similarity.double().clamp_min(0)
    order = torch.argsort(positive, descending=True, stable=True)
    weights = torch.zeros_like(positive)
    weights[order[:top_k]] = positive[order[:top_k]]
    if not bool(weights.sum() > 0):
        raise TrainingError("no source task's texts are like the target's: every similarity is 0 or less")
    return weights / weights.sum()
