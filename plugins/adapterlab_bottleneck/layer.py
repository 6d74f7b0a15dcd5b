"""Bottleneck adapters at one or more sites: Pfeiffer's one per layer, Houlsby's two.

Pfeiffer's stands between two applications of the layer's LayerNorm, Houlsby's on the output of each
sub-block, before residual and LayerNorm: that is the site's to say. What is here is the same for both.

Shapes: ``N`` token rows, ``d`` a site's width, ``r`` bottleneck width, ``T`` adapters, ``L`` layers.

Source: AdapterFusion (arXiv 2005.00247), section 4.1; ScaLearn (arXiv 2310.01217), section 3; Houlsby et al.
(arXiv 1902.00751), section 2.1.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import BackboneShape, FrozenPool, MethodLayer, Tensors
from adapterlab_bottleneck import bottleneck
from adapterlab_bottleneck.bottleneck import Bottleneck
from adapterlab_bottleneck.plugin import BottleneckSettings, DenseSettings

_NORM_EPS = 1e-5  # torch.nn.LayerNorm's, which AdapterHub's adapters have


class BottleneckLayer(MethodLayer):
    """Methods whose adapter is, at every point, one bottleneck that :meth:`at` gives."""

    settings: BottleneckSettings
    reads = frozenset("x")

    @property
    def alike(self) -> Hashable:
        """Adapters of one kind with equal settings, at the same sites."""
        return type(self), self.settings, self.sites

    def at(self, tensors: Mapping[str, Tensor], site: str, layer: int) -> Bottleneck:
        """Return the bottleneck that an adapter has at a point."""
        return bottleneck.read(tensors, self.prefix(site, layer))

    def prefix(self, site: str, layer: int) -> str:
        """Return what the names of a point's dense tensors begin with."""
        del site
        return f"layer.{layer}."

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return ``u = W_up σ(W_down x + b_down) + b_up``, (N, d) -> (N, d)."""
        del y  # u depends on x alone
        return bottleneck.forward(self.at(tensors, site, layer), self.settings.non_linearity, x)

    def stack(self, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int) -> FrozenPool:
        """Stack T adapters at one point, of any widths."""
        return bottleneck.stack([self.at(one, site, layer) for one in pool])

    def inner(self, pool: FrozenPool, x: Tensor) -> Tensor:
        """Return all T bottleneck activations with one product, (N, d) -> (N, T·r)."""
        return bottleneck.inner(pool, self.settings.non_linearity, x)

    def fold(self, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int, omega: Tensor) -> Tensors:
        """Return one point of the one dense adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, d or 1)."""
        weights = [self.at(one, site, layer) for one in pool]
        return bottleneck.fold(weights, omega).named(self.prefix(site, layer))


class DenseBottleneckLayer(BottleneckLayer):
    """A dense bottleneck of its own at every point."""

    settings: DenseSettings

    def __init__(self, settings: DenseSettings, shape: BackboneShape, sites: Sequence[str]) -> None:
        super().__init__(shape, sites)
        self.settings = settings

    @property
    def alike(self) -> Hashable:
        """Adapters of any widths: an inner unit of zeros adds nothing."""
        return type(self), self.settings.non_linearity, self.settings.norms, self.sites

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return ``u``, (N, d) -> (N, d), with the adapter's own LayerNorms of ``x`` and of ``u`` where it has them."""
        prefix, norms = self.prefix(site, layer), self.settings.norms
        if "before" in norms:
            x = _layer_norm(tensors, f"{prefix}norm_before", x)
        u = super().forward(tensors, site, layer, x, y)
        return _layer_norm(tensors, f"{prefix}norm_after", u) if "after" in norms else u

    def products(self) -> tuple[tuple[str, str], ...]:
        """Return none: a non-linearity stands between its two projections, so each tensor is merged by itself."""
        return ()

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return one adapter's tensors for every point: weights N(0, 0.02), biases 0; LayerNorms 1 and 0."""
        tensors: Tensors = {}
        for layer in range(self.shape.layers):
            for site in self.sites:
                fresh = bottleneck.initial(site, self.settings.width(site.output), generator)
                tensors |= fresh.named(self.prefix(site.name, layer))
                sizes = {"before": site.input, "after": site.output}
                for norm in self.settings.norms:
                    base = f"{self.prefix(site.name, layer)}norm_{norm}"
                    tensors[f"{base}.weight"] = torch.ones(sizes[norm])
                    tensors[f"{base}.bias"] = torch.zeros(sizes[norm])
        return tensors


class PfeifferLayer(DenseBottleneckLayer):
    """One bottleneck per layer, at its only site."""


def _layer_norm(tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return the normed rows, (N, d); of lanes' weights (K, d) and rows (K, R, d)."""
    normed = F.layer_norm(x, x.shape[-1:], eps=_NORM_EPS)
    return tensors[f"{name}.weight"].unsqueeze(-2) * normed + tensors[f"{name}.bias"].unsqueeze(-2)
