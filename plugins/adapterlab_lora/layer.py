"""LoRA's mathematics: ``u = (α/r)·B A x`` on top of a frozen linear map.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` rank, ``T`` adapters, ``L`` layers.

Source: LoRA (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.layers import FrozenPool, Tensors


def sites(settings: Any) -> tuple[str, ...]:
    """Return where outputs are added: onto the chosen projections."""
    chosen: tuple[str, ...] = settings.sites
    return chosen


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
    """Return one adapter's tensors: A Kaiming-uniform with a = √5, B zero."""
    d, r = shape.hidden_size, settings.r
    bound = d**-0.5
    tensors: Tensors = {}
    for layer in range(shape.layers):
        for site in settings.sites:
            tensors[_name(site, layer, "a")] = torch.empty(r, d).uniform_(-bound, bound, generator=generator)
            tensors[_name(site, layer, "b")] = torch.zeros(d, r)
    return tensors


def forward(
    settings: Any,
    tensors: Tensors,
    site: str,
    layer: int,
    x: Tensor,
    y: Tensor,  # noqa: ARG001 - u depends on x alone
) -> Tensor:
    """Return ``u = (α/r)·B A x``, (N, d) -> (N, d)."""
    h = F.linear(x, tensors[_name(site, layer, "a")])
    return F.linear(h, tensors[_name(site, layer, "b")]) * _scale(settings)


def stack(settings: Any, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int) -> FrozenPool:
    """Stack T adapters at one point, of any ranks; the scale goes into the last factor."""
    downs = [one[_name(site, layer, "a")] for one in pool]
    ups = [one[_name(site, layer, "b")] * _scale(settings) for one in pool]
    widest = max(up.shape[1] for up in ups)
    spare = [widest - up.shape[1] for up in ups]
    up = torch.stack([F.pad(one, (0, more)) for one, more in zip(ups, spare, strict=True)])  # (T, d, r)
    padded = [F.pad(one, (0, 0, 0, more)) for one, more in zip(downs, spare, strict=True)]
    return FrozenPool(inner={"weight": torch.cat(padded)}, up=up, bias=up.new_zeros(up.shape[:2]))


def inner(settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:  # noqa: ARG001 - weights alone decide
    """Return all T inner activations with one product, (N, d) -> (N, T·r)."""
    return F.linear(x, pool.inner["weight"])


def fold(
    settings: Any,  # noqa: ARG001 - the scale stays as it is
    pool: Sequence[Mapping[str, Tensor]],
    site: str,
    layer: int,
    omega: Tensor,
) -> Tensors:
    """Return one point of the one LoRA of rank ``Σ_t r_t`` that ``Σ_t ω_t ⊙ u_t`` is.

    Its scale ``α/r`` is that of its parts: for a rank of ``T·r``, its ``α`` is ``T`` times theirs.
    """
    ups = [one[_name(site, layer, "b")] * omega[t].unsqueeze(-1) for t, one in enumerate(pool)]
    return {
        _name(site, layer, "a"): torch.cat([one[_name(site, layer, "a")] for one in pool]),
        _name(site, layer, "b"): torch.cat(ups, dim=1),
    }


def _name(site: str, layer: int, part: str) -> str:
    return f"layer.{layer}.{site}.{part}"


def _scale(settings: Any) -> float:
    return float(settings.alpha / settings.r)
