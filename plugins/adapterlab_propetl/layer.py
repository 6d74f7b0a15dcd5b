"""ProPETL: one bottleneck for all layers, pruned by each layer's own binary mask.

The mask keeps the ``k`` share of entries whose scores are greatest in absolute value; gradients pass
it straight through to the scores. Expanded, a layer is an ordinary bottleneck.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``L`` layers.

Source: ProPETL (arXiv 2305.17682), section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.layers import FrozenPool, Tensors
from adapterlab_bottleneck import bottleneck
from adapterlab_bottleneck.bottleneck import Bottleneck

_SCORES = "scores."


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - the same for all
    """Return where the output is added: after the feed-forward block."""
    return ("ffn",)


def lr_factors(settings: Any) -> dict[str, float]:
    """Return how much faster the masks' scores learn."""
    return {_SCORES: settings.mask_lr_factor}


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
    """Return one adapter's tensors: weights N(0, 0.02), biases 0, scores Kaiming-uniform."""
    d, r = shape.hidden_size, settings.width(shape.hidden_size)
    tensors = bottleneck.initial(d, r, generator).named("")
    for layer in range(shape.layers):
        # The official code holds scores transposed to weights, so that their fan-in is the weights' rows.
        tensors |= {
            f"{_SCORES}layer.{layer}.down": _kaiming((r, d), r, generator),
            f"{_SCORES}layer.{layer}.up": _kaiming((d, r), d, generator),
        }
    return tensors


def forward(
    settings: Any,
    tensors: Tensors,
    site: str,  # noqa: ARG001 - it has one
    layer: int,
    x: Tensor,
    y: Tensor,  # noqa: ARG001 - u depends on x alone
) -> Tensor:
    """Return ``u = (W_up ⊙ M_up) σ((W_down ⊙ M_down) x + b_down) + b_up``, (N, d) -> (N, d)."""
    return bottleneck.forward(_masked(settings, tensors, layer), settings.non_linearity, x)


def stack(
    settings: Any,
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001 - it has one
    layer: int,
) -> FrozenPool:
    """Stack one layer of T adapters, masks applied."""
    return bottleneck.stack([_masked(settings, one, layer) for one in pool])


def inner(settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:
    """Return all T bottleneck activations with one product, (N, d) -> (N, T·r)."""
    return bottleneck.inner(pool, settings.non_linearity, x)


def fold(
    settings: Any,
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001 - it has one
    layer: int,
    omega: Tensor,
) -> Tensors:
    """Return one layer of the one Pfeiffer adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, d or 1)."""
    return bottleneck.fold([_masked(settings, one, layer) for one in pool], omega).named(f"layer.{layer}.")


def mask_of(scores: Tensor, keep: float) -> Tensor:
    """Return 1 for the ``keep`` share of greatest scores in absolute value, else 0; any shape.

    The gradient passes straight through to the absolute values of the scores.
    """
    size = scores.abs()
    dropped = int((1 - keep) * size.numel())
    mask = torch.ones(size.shape, dtype=size.dtype, device=size.device)
    mask.view(-1)[size.detach().flatten().argsort()[:dropped]] = 0.0
    return mask + (size - size.detach())


def _masked(settings: Any, tensors: Mapping[str, Tensor], layer: int) -> Bottleneck:
    shared = bottleneck.read(tensors, "")
    return shared._replace(
        down=shared.down * mask_of(tensors[f"{_SCORES}layer.{layer}.down"], settings.keep),
        up=shared.up * mask_of(tensors[f"{_SCORES}layer.{layer}.up"], settings.keep),
    )


def _kaiming(size: tuple[int, int], fan_in: int, generator: torch.Generator) -> Tensor:
    bound = fan_in**-0.5  # Kaiming-uniform with a = √5
    return torch.empty(size).uniform_(-bound, bound, generator=generator)
