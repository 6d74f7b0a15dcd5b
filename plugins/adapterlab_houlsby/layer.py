"""The Houlsby adapter: a bottleneck on the output of each sub-block, before residual and LayerNorm.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``T`` adapters, ``L`` layers.

Source: Houlsby et al. (arXiv 1902.00751), section 2.1; AdapterHub's ``double_seq_bn``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.layers import FrozenPool, Tensors
from adapterlab_bottleneck import bottleneck

_SITES = ("attention.out", "ffn.out")


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - the same for all
    """Return where outputs are added: onto each sub-block's output."""
    return _SITES


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
    """Return one adapter's tensors for every layer: weights N(0, 0.02), biases 0."""
    d, r = shape.hidden_size, settings.width(shape.hidden_size)
    tensors: Tensors = {}
    for layer in range(shape.layers):
        for site in _SITES:
            tensors |= bottleneck.initial(d, r, generator).named(_prefix(site, layer))
    return tensors


def forward(
    settings: Any,
    tensors: Tensors,
    site: str,
    layer: int,
    x: Tensor,
    y: Tensor,  # noqa: ARG001 - the same as x
) -> Tensor:
    """Return ``u = W_up σ(W_down x + b_down) + b_up``, (N, d) -> (N, d)."""
    return bottleneck.forward(bottleneck.read(tensors, _prefix(site, layer)), settings.non_linearity, x)


def stack(
    settings: Any,  # noqa: ARG001 - weights alone decide
    pool: Sequence[Mapping[str, Tensor]],
    site: str,
    layer: int,
) -> FrozenPool:
    """Stack T adapters at one point, of any widths."""
    return bottleneck.stack([bottleneck.read(one, _prefix(site, layer)) for one in pool])


def inner(settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:
    """Return all T bottleneck activations with one product, (N, d) -> (N, T·r)."""
    return bottleneck.inner(pool, settings.non_linearity, x)


def fold(
    settings: Any,  # noqa: ARG001 - weights alone decide
    pool: Sequence[Mapping[str, Tensor]],
    site: str,
    layer: int,
    omega: Tensor,
) -> Tensors:
    """Return one point of the one adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, d or 1)."""
    weights = [bottleneck.read(one, _prefix(site, layer)) for one in pool]
    return bottleneck.fold(weights, omega).named(_prefix(site, layer))


def _prefix(site: str, layer: int) -> str:
    return f"layer.{layer}.{site}."
