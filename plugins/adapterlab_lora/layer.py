"""LoRA's mathematics: ``u = (α/r)·B A x`` on top of a frozen linear map.

Shapes: ``N`` token rows, ``i`` and ``e`` a site's input and output width, ``r`` rank, ``T`` adapters, ``L`` layers.

Source: LoRA (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import BackboneShape, FrozenPool, MethodLayer, Tensors, linear
from adapterlab_lora.plugin import LoraSettings


class LoraLayer(MethodLayer):
    """Low-rank additions onto the chosen projections."""

    reads = frozenset("x")

    def __init__(self, settings: LoraSettings, shape: BackboneShape, sites: Sequence[str]) -> None:
        super().__init__(shape, sites)
        self.rank = settings.r
        self.scale = float(settings.alpha / settings.r)

    @property
    def alike(self) -> Hashable:
        """LoRAs of one scale at the same sites, whatever their ranks."""
        return type(self), self.scale, self.sites

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return one adapter's tensors: A Kaiming-uniform with a = √5, B zero."""
        tensors: Tensors = {}
        for layer in range(self.shape.layers):
            for site in self.sites:
                bound = site.input**-0.5
                a = torch.empty(self.rank, site.input).uniform_(-bound, bound, generator=generator)
                tensors[_name(site.name, layer, "a")] = a  # (r, i)
                tensors[_name(site.name, layer, "b")] = torch.zeros(site.output, self.rank)  # (e, r)
        return tensors

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return ``u = (α/r)·B A x``, (N, i) -> (N, e); of lanes (K, R, i) -> (K, R, e)."""
        del y  # u depends on x alone
        h = linear(x, tensors[_name(site, layer, "a")])
        return linear(h, tensors[_name(site, layer, "b")]) * self.scale

    def stack(self, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int) -> FrozenPool:
        """Stack T adapters at one point, of any ranks; the scale goes into the last factor."""
        downs = [one[_name(site, layer, "a")] for one in pool]
        ups = [one[_name(site, layer, "b")] * self.scale for one in pool]
        widest = max(up.shape[1] for up in ups)
        spare = [widest - up.shape[1] for up in ups]
        up = torch.stack([F.pad(one, (0, more)) for one, more in zip(ups, spare, strict=True)])  # (T, e, r)
        padded = [F.pad(one, (0, 0, 0, more)) for one, more in zip(downs, spare, strict=True)]
        return FrozenPool(inner={"weight": torch.cat(padded)}, up=up, bias=up.new_zeros(up.shape[:2]))

    def adopt(self, tensors: Mapping[str, Tensor], settings: LoraSettings) -> Tensors:
        """Return a LoRA of another scale or other targets as one of this layer's.

        The root of the difference of scales goes into each factor, so that merges of factors see both alike; where
        it has no addition it gets one that adds nothing.
        """
        factor = float((settings.alpha / settings.r / self.scale) ** 0.5)
        some = next(iter(tensors.values()))
        adopted: Tensors = {}
        for layer in range(self.shape.layers):
            for site in self.sites:
                a, b = _name(site.name, layer, "a"), _name(site.name, layer, "b")
                there = a in tensors
                adopted[a] = tensors[a] if there else some.new_zeros(1, site.input)
                adopted[b] = tensors[b] if there else some.new_zeros(site.output, 1)
                if there and factor != 1.0:
                    adopted |= {a: adopted[a] * factor, b: adopted[b] * factor}
        return adopted

    def products(self) -> tuple[tuple[str, str], ...]:
        """Return ``B`` and ``A`` of every addition."""
        return tuple((_name(site, layer, "b"), _name(site, layer, "a")) for site, layer in self.points)

    def inner(self, pool: FrozenPool, x: Tensor) -> Tensor:
        """Return all T inner activations with one product, (N, i) -> (N, T·r)."""
        return F.linear(x, pool.inner["weight"])

    def fold(self, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int, omega: Tensor) -> Tensors:
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
