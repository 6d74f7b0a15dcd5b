"""The Pfeiffer adapter: one bottleneck a layer, between two applications of the layer's LayerNorm.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``T`` adapters, ``L`` layers.

Source: AdapterFusion (arXiv 2005.00247), section 4.1; ScaLearn (arXiv 2310.01217), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.layers import FrozenPool, Tensors
from adapterlab_bottleneck import bottleneck


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - the same for all
    """Return where the output is added: after the feed-forward block."""
    return ("ffn",)


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
    """Return one adapter's tensors for every layer: weights N(0, 0.02), biases 0."""
    d, r = shape.hidden_size, settings.width(shape.hidden_size)
    tensors: Tensors = {}
    for layer in range(shape.layers):
        tensors |= bottleneck.initial(d, r, generator).named(_prefix(layer))
    return tensors


def forward(
    settings: Any,
    tensors: Tensors,
    site: str,  # noqa: ARG001 - it has one
    layer: int,
    x: Tensor,
    y: Tensor,  # noqa: ARG001 - u depends on x alone
) -> Tensor:
    """Return ``u = W_up σ(W_down x + b_down) + b_up``, (N, d) -> (N, d)."""
    return bottleneck.forward(bottleneck.read(tensors, _prefix(layer)), settings.non_linearity, x)


def stack(
    settings: Any,  # noqa: ARG001 - weights alone decide
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001 - it has one
    layer: int,
) -> FrozenPool:
    """Stack one layer of T adapters, of any widths."""
    return bottleneck.stack([bottleneck.read(one, _prefix(layer)) for one in pool])


def inner(settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:
    """Return all T bottleneck activations with one product, (N, d) -> (N, T·r)."""
    return bottleneck.inner(pool, settings.non_linearity, x)


def fold(
    settings: Any,  # noqa: ARG001 - weights alone decide
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001 - it has one
    layer: int,
    omega: Tensor,
) -> Tensors:
    """Return one layer of the one adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, d or 1)."""
    weights = [bottleneck.read(one, _prefix(layer)) for one in pool]
    return bottleneck.fold(weights, omega).named(_prefix(layer))


def _prefix(layer: int) -> str:
    return f"layer.{layer}."
