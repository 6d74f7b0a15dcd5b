"""(IA)³'s mathematics: a factor for each output of three linear maps.

Shapes: ``N`` token rows, ``d`` hidden size, ``e`` a linear map's outputs, ``L`` layers.

Source: (IA)³ (arXiv 2205.05638), section 3.3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.layers import Tensors

_SITES = ("attention.key", "attention.value", "ffn.up")


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - the same for all
    """Return which linear maps have factors."""
    return _SITES


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:  # noqa: ARG001
    """Return one adapter's tensors: factors of 1, which change nothing."""
    widths = (shape.hidden_size, shape.hidden_size, shape.intermediate_size)
    return {
        _name(site, layer): torch.ones(width)
        for layer in range(shape.layers)
        for site, width in zip(_SITES, widths, strict=True)
    }


def forward(
    settings: Any,  # noqa: ARG001 - there are none
    tensors: Tensors,
    site: str,
    layer: int,
    x: Tensor,  # noqa: ARG001 - it acts on the map's output
    y: Tensor,
) -> Tensor:
    """Return ``(l − 1) ⊙ y``, so that ``y`` and it sum to ``l ⊙ y``, (N, e) -> (N, e)."""
    return (tensors[_name(site, layer)] - 1) * y


def _name(site: str, layer: int) -> str:
    return f"layer.{layer}.{site}.scale"
