"""AdapterSoup's mathematics: how similar two tasks are, and one adapter of several.

The similarity of two tasks is the mean cosine over all pairs of their texts. With unit vectors that is
the scalar product of their two mean vectors: O(n) instead of O(n²), and exact.

Source: ScaLearn (arXiv 2310.01217), appendix A.1, whose intent this is: the official code compares with
three sentences of the target only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterlab.plugin import (
    Coefficients,
    OneAdapterLayer,
    PoolContext,
    PoolShape,
    Tensors,
    TrainingError,
    UsageError,
)
from adapterlab_adaptersoup.plugin import AdapterSoupSettings
from adapterlab_adaptersoup.vectors import task_vector


class AdapterSoupLayer(OneAdapterLayer):
    """Torch side of AdapterSoup.

    Args:
        settings: How similar tasks are found.
        pool: What is averaged.
    """

    def __init__(self, settings: AdapterSoupSettings, pool: PoolShape) -> None:
        super().__init__(pool)
        self.settings = settings

    def fixed(self, context: PoolContext) -> Tensors:
        """Return the average's weights as ``omega`` and the similarities behind them, (1, T, 1) each.

        Raises:
            TrainingError: No source's texts are like the target's.
            UsageError: The tasks' texts or the encoder are not at hand.
        """
        if "encoder" not in context.models or context.cache is None:
            raise UsageError(
                "adaptersoup weighs by the tasks' texts, which are not known here",
                remedy="Give the weights: coefficients = one number an adapter, (1, T, 1).",
            )
        vectors = {
            task: task_vector(task, self.settings, context)
            for task in dict.fromkeys((*context.sources, context.target))
        }
        similarity = torch.stack([vectors[task] @ vectors[context.target] for task in context.sources])
        return {
            "omega": soup_weights(similarity, self.settings.top_k).reshape(1, -1, 1).float(),
            "similarity": similarity.reshape(1, -1, 1).float(),
        }

    def reduce(self, tensors: Mapping[str, Tensor], adapters: Sequence[Mapping[str, Tensor]]) -> Tensors:
        """Return the adapter whose every parameter is the weighted mean of the sources'.

        Raises:
            UsageError: The adapters differ in size.
        """
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

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the weights of the average, one row for all points; they weigh parameters, not outputs."""
        return Coefficients.of(tensors["omega"].detach())


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
