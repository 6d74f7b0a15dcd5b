"""(IA)³'s mathematics: a factor for each output of linear maps, or for each of their inputs.

Shapes: ``N`` token rows, ``d`` hidden size, ``e`` a linear map's outputs, ``L`` layers.

Source: (IA)³ (arXiv 2205.05638), section 3.3.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from torch import Tensor

from adapterlab.plugin import MethodLayer, Tensors


class Ia3Layer(MethodLayer):
    """A factor for each output of the linear maps at its sites."""

    reads = frozenset("y")

    @property
    def alike(self) -> Hashable:
        """Adapters at the same sites."""
        return type(self), self.sites

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return one adapter's tensors: factors of 1, which change nothing."""
        del generator
        return {
            _name(site.name, layer): torch.ones(site.output)
            for layer in range(self.shape.layers)
            for site in self.sites
        }

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return ``(l − 1) ⊙ y``, so that ``y`` and it sum to ``l ⊙ y``, (…, N, e) -> (…, N, e)."""
        del x  # it acts on the map's output
        return (tensors[_name(site, layer)] - 1).unsqueeze(-2) * y


def _name(site: str, layer: int) -> str:
    return f"layer.{layer}.{site}.scale"
