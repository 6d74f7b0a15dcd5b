"""The Pfeiffer adapter's mathematics.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``T`` adapters, ``L`` layers.

Source: AdapterFusion (arXiv 2005.00247), section 4.1; ScaLearn (arXiv 2310.01217), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.protocols import FrozenPool, Tensors

_INIT_STD = 0.02  # Source: methods of both papers, init "bert": weights N(0, 0.02), biases 0
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - the protocol's
    """Return where the output is added: after the feed-forward block."""
    return ("ffn",)


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
    """Return one adapter's tensors for every layer: weights N(0, 0.02), biases 0."""
    d, r = shape.hidden_size, settings.width(shape.hidden_size)
    tensors: Tensors = {}
    for layer in range(shape.layers):
        tensors[f"layer.{layer}.down.weight"] = _normal((r, d), generator)
        tensors[f"layer.{layer}.down.bias"] = torch.zeros(r)
        tensors[f"layer.{layer}.up.weight"] = _normal((d, r), generator)
        tensors[f"layer.{layer}.up.bias"] = torch.zeros(d)
    return tensors


def forward(
    settings: Any,
    tensors: Tensors,
    site: str,  # noqa: ARG001 - it has one
    layer: int,
    x: Tensor,
    y: Tensor,  # noqa: ARG001 - linear sites'
) -> Tensor:
    """Return ``u = W_up σ(W_down x + b_down) + b_up``, (N, d) -> (N, d)."""
    activation = _ACTIVATIONS[settings.non_linearity]
    h = activation(F.linear(x, tensors[f"layer.{layer}.down.weight"], tensors[f"layer.{layer}.down.bias"]))
    return F.linear(h, tensors[f"layer.{layer}.up.weight"], tensors[f"layer.{layer}.up.bias"])


def stack(
    settings: Any,  # noqa: ARG001 - the protocol's
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001
    layer: int,
) -> FrozenPool:
    """Stack one layer of T adapters: down-projections side by side, up-projections kept apart.

    Adapters may differ in width: the narrower ones get inner units that nothing reads.
    """
    downs = [one[f"layer.{layer}.down.weight"] for one in pool]
    biases = [one[f"layer.{layer}.down.bias"] for one in pool]
    ups = [one[f"layer.{layer}.up.weight"] for one in pool]
    widest = max(up.shape[1] for up in ups)
    spare = [widest - up.shape[1] for up in ups]
    return FrozenPool(
        inner={
            # (T·r, d) and (T·r,)
            "weight": torch.cat(
                [F.pad(one, (0, 0, 0, more)) for one, more in zip(downs, spare, strict=True)]
            ),
            "bias": torch.cat([F.pad(one, (0, more)) for one, more in zip(biases, spare, strict=True)]),
        },
        up=torch.stack([F.pad(one, (0, more)) for one, more in zip(ups, spare, strict=True)]),  # (T, d, r)
        bias=torch.stack([one[f"layer.{layer}.up.bias"] for one in pool]),  # (T, d)
    )


def fold(
    settings: Any,  # noqa: ARG001 - the protocol's
    pool: Sequence[Mapping[str, Tensor]],
    site: str,  # noqa: ARG001
    layer: int,
    omega: Tensor,
) -> Tensors:
    """Return one layer of the one adapter that ``Σ_t ω_t ⊙ u_t`` is, of width ``Σ_t r_t``.

    Args:
        settings: The method's settings.
        pool: T adapters, of any widths.
        site: Its one site.
        layer: Index of the layer.
        omega: Its coefficients, (T, d or 1).
    """
    ups = [one[f"layer.{layer}.up.weight"] * omega[t].unsqueeze(-1) for t, one in enumerate(pool)]
    biases = torch.stack([one[f"layer.{layer}.up.bias"] for one in pool])  # (T, d)
    return {
        f"layer.{layer}.down.weight": torch.cat([one[f"layer.{layer}.down.weight"] for one in pool]),
        f"layer.{layer}.down.bias": torch.cat([one[f"layer.{layer}.down.bias"] for one in pool]),
        f"layer.{layer}.up.weight": torch.cat(ups, dim=1),
        f"layer.{layer}.up.bias": (omega * biases).sum(0),
    }


def inner(settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:
    """Return all T bottleneck activations with one product, (N, d) -> (N, T·r)."""
    activation = _ACTIVATIONS[settings.non_linearity]
    return activation(F.linear(x, pool.inner["weight"], pool.inner["bias"]))


def _normal(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.empty(size).normal_(0.0, _INIT_STD, generator=generator)
