"""The torch side of merges: one adapter of the pool's, of the same method.

Of a LoRA, ``u = s·B A x``, two spaces can be merged. ``"parameters"``: each factor by itself, under the root of
its source's weight, ``B = Σ_t √|w_t| B_t`` and ``A = Σ_t sgn(w_t) √|w_t| A_t``, so that a source alone counts as
its weight says. ``"product"``: ``Σ_t w_t B_t A_t``, of which the SVD makes factors of a rank again.

A weighted average has the weights themselves in the place of their roots: it is the mean of the parameters, as
AdapterHub's ``average_adapter`` makes it, and of equal adapters the adapter that they are. Under roots, and in
PEFT's ``linear`` with weights that sum to 1, T equal LoRAs become one that is T times as strong.

With equal scales ``s`` the others are the functions that PEFT 0.21's ``add_weighted_adapter`` makes: task arithmetic is its
``linear``, ``ties``, ``dare_linear``, ``dare_ties`` and ``magnitude_prune`` are called alike, and all of them with
``space = "product"`` are its ``svd``, ``ties_svd`` and so on. Where PEFT is wrong or goes
another way, this differs:

- rsLoRA: PEFT gives the merged adapter ``lora_alpha = r`` and keeps ``use_rslora``, so it computes ``√r`` times what
  was merged. Here its scale is its scale.
- DoRA: PEFT merges the factors and gives the merged adapter fresh magnitudes. Here no merge takes it.
- ``bias`` and ``modules_to_save`` are not merged by PEFT. Here a pool has neither, and the head is trained anew.
- Unequal scales: PEFT agrees on signs over factors without their scale. Here each factor has the root of it.
- A source that weighs 0 takes no part; in PEFT it has a say in signs.

Shapes: ``N`` token rows, ``T`` sources, ``r`` inner width, ``e`` a point's output width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from adapterlab.plugin import (
    Coefficients,
    MethodLayer,
    OneAdapterLayer,
    PoolContext,
    PoolShape,
    Tensors,
    UsageError,
    key_of,
)
from adapterlab_merges import merging
from adapterlab_merges.plugin import Merge, space_of, weights_of


class MergeLayer(OneAdapterLayer):
    """Torch side of a merge.

    Args:
        plugin: Which steps it takes.
        settings: Weights, and what is merged.
        pool: What is merged.
        density: Share of each tensor's entries that takes part, in (0, 1].
        scale: All weights are multiplied by it.
    """

    def __init__(
        self, plugin: Merge, settings: BaseModel, pool: PoolShape, *, density: float, scale: float
    ) -> None:
        super().__init__(pool)
        if not 0 < density <= 1:
            raise UsageError(f"density must lie in (0, 1], got {density:g}")
        self.plugin, self.density, self.scale = plugin, density, scale
        self.settings: Any = settings

    def fixed(self, context: PoolContext) -> Tensors:
        """Return the weights before they are scaled, (1, T, 1).

        Raises:
            UsageError: The pool lacks a source that is named, or the weights have no average.
        """
        divides = self.plugin.divides
        found = weights_of(self.settings, context.sources, context.target, divides=divides)
        if isinstance(found, str):
            raise UsageError(found)
        return {"omega": torch.tensor(found).reshape(1, -1, 1)}

    def merge(
        self, tensors: Mapping[str, Tensor], adapters: Sequence[Mapping[str, Tensor]], method: MethodLayer
    ) -> Tensors:
        """Return the merged adapter; computed in float64, in the precision of the sources.

        Raises:
            UsageError: The method's adapters cannot be merged, or these differ in size where that matters.
        """
        pairs = method.products()
        weights = [self.scale * float(one) for one in tensors["omega"].flatten()]
        members = [t for t, weight in enumerate(weights) if weight]
        if not members:
            return {name: torch.zeros_like(tensor) for name, tensor in adapters[0].items()}
        used = [{name: one.detach().double() for name, one in adapters[t].items()} for t in members]
        taken = _Taken(members, [weights[t] for t in members])
        merged = dict(self._merged(taken, used, pairs))
        return {name: merged[name].to(one.dtype) for name, one in adapters[0].items()}

    def _merged(
        self, taken: _Taken, used: Sequence[Tensors], pairs: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the merged adapter's tensors."""
        in_pairs = {name for pair in pairs for name in pair}
        if space_of(self.settings) == "product":
            if not pairs:
                raise UsageError(
                    f"{self.plugin.name} merges products of two factors, which these adapters do not have",
                    remedy='Merge their parameters: ties, task_arithmetic or another with space = "parameters".',
                )
            for up, down in pairs:
                yield from zip((up, down), self._factors(taken, used, up, down), strict=True)
            roots: dict[str, bool] = {}
        else:
            roots = {up: False for up, _ in pairs} | {down: True for _, down in pairs}
        for name in used[0]:
            if name in roots:
                yield (
                    name,
                    self._entries(self._shares(taken, signed=roots[name]), self._alike(used, name), name),
                )
            elif name not in in_pairs:
                yield name, self._entries(taken, self._alike(used, name), name)

    def _shares(self, taken: _Taken, *, signed: bool) -> _Taken:
        """Return the weights that one of two factors has; the sign is one factor's alone."""
        if self.plugin.shares == "whole":
            return taken
        power = 0.5 if self.plugin.shares == "root" else 1.0
        return _Taken(
            taken.members,
            [abs(weight) ** power * (-1 if signed and weight < 0 else 1) for weight in taken.weights],
        )

    def _alike(self, used: Sequence[Tensors], name: str) -> list[Tensor]:
        """Return every source's tensor of a name.

        Raises:
            UsageError: They differ in shape.
        """
        each = [one[name] for one in used]
        shapes = list(dict.fromkeys(tuple(one.shape) for one in each))
        if len(shapes) > 1:
            raise UsageError(
                f"{self.plugin.name} merges parameters one by one, and the pool's adapters differ in size: "
                f"{name} is {shapes[0]} and {shapes[1]}",
                remedy='Take adapters of one size at the same places; of LoRAs, space = "product" merges any.',
            )
        return each

    def _entries(self, taken: _Taken, each: Sequence[Tensor], name: str) -> Tensor:
        """Return tensors of one shape merged entry by entry."""
        kept = torch.stack(
            [self._kept(one, f"{name} {t}") for one, t in zip(each, taken.members, strict=True)]
        )
        if self.plugin.elects:
            return merging.disjoint_mean(kept, taken.weights, self.settings.majority_sign)
        return merging.weighted_sum(kept, taken.weights)

    def _kept(self, tensor: Tensor, name: str) -> Tensor:
        """Return what is kept of a tensor of one source."""
        if self.plugin.keeps == "all" or self.density == 1:
            return tensor
        if self.plugin.keeps == "greatest":
            return merging.greatest(tensor, self.density)
        seed = int(key_of("dare", 1, {"seed": self.settings.seed, "tensor": name})[:15], 16)
        return merging.dropped(tensor, self.density, torch.Generator().manual_seed(seed))

    def _factors(self, taken: _Taken, used: Sequence[Tensors], up: str, down: str) -> tuple[Tensor, Tensor]:
        """Return the factors of a merged product, (e, r) and (r, i)."""
        ups, downs = [one[up] for one in used], [one[down] for one in used]
        rank = self.settings.rank or max(one.shape[1] for one in ups)
        if self.plugin.keeps == "all" and not self.plugin.elects:
            return merging.factors_of_sum(ups, downs, taken.weights, rank)
        products = [b @ a for b, a in zip(ups, downs, strict=True)]
        return merging.factors(self._entries(taken, products, down), rank)

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the weights of the merge, one row for all points; they weigh parameters, not outputs."""
        return Coefficients.of(tensors["omega"].detach() * self.scale)


@dataclass(frozen=True)
class _Taken:
    """The sources that take part: their places in the pool, and their weights."""

    members: Sequence[int]
    weights: Sequence[float]
