"""Compacter++: a Pfeiffer adapter whose two projections are parameterised hypercomplex products.

``W = Σ_i A_i ⊗ (L_i R_i)`` maps by ``y = x W + b``; A (n, n, n) is shared by every layer and both
projections, L_i is (in/n, 1), R_i (1, out/n). Expanded, it is an ordinary bottleneck.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``n`` summands, ``L`` layers.

Source: Compacter (arXiv 2106.04647), equations 4 to 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterlab.plugin import BackboneShape, Tensors
from adapterlab_bottleneck.bottleneck import Bottleneck
from adapterlab_bottleneck.layer import BottleneckLayer
from adapterlab_compacter.plugin import CompacterSettings

_RULE_STD = 1e-4  # Source: phm_init_range of the official code


class CompacterLayer(BottleneckLayer):
    """A bottleneck per layer whose projections are sums of Kronecker products."""

    settings: CompacterSettings

    def __init__(self, settings: CompacterSettings, shape: BackboneShape, sites: Sequence[str]) -> None:
        super().__init__(shape, sites)
        self.settings = settings

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return one adapter's tensors: A N(0, 1e-4²), L and R Xavier-normal, biases 0."""
        (site,) = self.sites
        n, r = self.settings.phm_dim, self.settings.width(site.output)
        tensors = {"phm_rule": torch.empty(n, n, n).normal_(0.0, _RULE_STD, generator=generator)}
        for layer in range(self.shape.layers):
            for part, rows, columns in (("down", site.input, r), ("up", r, site.output)):
                tensors |= {
                    f"layer.{layer}.{part}.left": _xavier((n, rows // n, 1), generator),
                    f"layer.{layer}.{part}.right": _xavier((n, 1, columns // n), generator),
                    f"layer.{layer}.{part}.bias": torch.zeros(columns),
                }
        return tensors

    def at(self, tensors: Mapping[str, Tensor], site: str, layer: int) -> Bottleneck:
        """Return a layer's bottleneck, expanded to dense weights."""
        del site
        rule, base = tensors["phm_rule"], f"layer.{layer}."

        def weight(part: str) -> Tensor:
            return _kronecker(rule, tensors[f"{base}{part}.left"], tensors[f"{base}{part}.right"]).mT

        return Bottleneck(
            weight("down"), tensors[f"{base}down.bias"], weight("up"), tensors[f"{base}up.bias"]
        )


def _kronecker(rule: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return ``Σ_i A_i ⊗ (L_i R_i)``: (…, n, n, n), (…, n, p, 1), (…, n, 1, q) -> (…, n·p, n·q)."""
    product = torch.einsum("...iab,...ip,...iq->...apbq", rule, left[..., 0], right[..., 0, :])
    return product.flatten(-2).flatten(-3, -2)


def _xavier(size: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Return n matrices, each Xavier-normal by its own two sides."""
    std = (2.0 / (size[1] + size[2])) ** 0.5
    return torch.empty(size).normal_(0.0, std, generator=generator)
