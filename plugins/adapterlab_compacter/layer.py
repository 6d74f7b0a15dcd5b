"""Compacter++: a Pfeiffer adapter whose two projections are parameterised hypercomplex products.

``W = Σ_i A_i ⊗ (L_i R_i)`` maps by ``y = x W + b``; A (n, n, n) is shared by every layer and both
projections, L_i is (in/n, 1), R_i (1, out/n). Expanded, it is an ordinary bottleneck.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``n`` summands, ``L`` layers.

Source: Compacter (arXiv 2106.04647), equations 4 to 6.
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

_RULE_STD = 1e-4  # Source: phm_init_range of the official code


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - the same for all
    """Return where the output is added: after the feed-forward block."""
    return ("ffn",)


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
    """Return one adapter's tensors: A N(0, 1e-4²), L and R Xavier-normal, biases 0."""
    d, n = shape.hidden_size, settings.phm_dim
    r = settings.width(d)
    tensors = {"phm_rule": torch.empty(n, n, n).normal_(0.0, _RULE_STD, generator=generator)}
    for layer in range(shape.layers):
        for part, rows, columns in (("down", d, r), ("up", r, d)):
            tensors |= {
                f"layer.{layer}.{part}.left": _xavier((n, rows // n, 1), generator),
                f"layer.{layer}.{part}.right": _xavier((n, 1, columns // n), generator),
                f"layer.{layer}.{part}.bias": torch.zeros(columns),
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
    """Return ``u = σ(x W_down + b_down) W_up + b_up``, (N, d) -> (N, d)."""
    return bottleneck.forward(_expanded(tensors, layer), settings.non_linearity, x)


def stack(
    settings: Any,  # noqa: ARG001 - weights alone decide
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001 - it has one
    layer: int,
) -> FrozenPool:
    """Stack one layer of T adapters, expanded."""
    return bottleneck.stack([_expanded(one, layer) for one in pool])


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
    """Return one layer of the one Pfeiffer adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, d or 1)."""
    return bottleneck.fold([_expanded(one, layer) for one in pool], omega).named(f"layer.{layer}.")


def _expanded(tensors: Mapping[str, Tensor], layer: int) -> Bottleneck:
    rule, base = tensors["phm_rule"], f"layer.{layer}."

    def weight(part: str) -> Tensor:
        return _kronecker(rule, tensors[f"{base}{part}.left"], tensors[f"{base}{part}.right"]).T

    return Bottleneck(weight("down"), tensors[f"{base}down.bias"], weight("up"), tensors[f"{base}up.bias"])


def _kronecker(rule: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return ``Σ_i A_i ⊗ (L_i R_i)``: (n, n, n), (n, p, 1), (n, 1, q) -> (n·p, n·q)."""
    n, rows, columns = rule.shape[0], left.shape[1], right.shape[2]
    product = torch.einsum("iab,ip,iq->apbq", rule, left[:, :, 0], right[:, 0])
    return product.reshape(n * rows, n * columns)


def _xavier(size: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Return n matrices, each Xavier-normal by its own two sides."""
    std = (2.0 / (size[1] + size[2])) ** 0.5
    return torch.empty(size).normal_(0.0, std, generator=generator)
