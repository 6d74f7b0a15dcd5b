"""What a source contributes to a learned combination: the combination without it.

Zeroing a source's coefficients is the same as zeroing its output, ``u_t = U_t h_t + c_t = 0``, whatever a
combiner makes its coefficients from. Where coefficients depend on the token (a softmax over sources), a
zeroed output would still take part; there the source leaves the pool, which masks it out of the softmax.

Shapes: ``N`` token rows, ``T`` sources, ``d`` hidden size, ``r`` inner width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from adapterlab.train.combination import Combination, pool_for
from adapterlab.train.layers import AveragingLayer, Backbone, FrozenPool, MethodLayer, Tensors


@dataclass(frozen=True)
class WithoutSource:
    """A combination, learned with all sources and evaluated without one; nothing is trained anew.

    Shares the whole combination's group, so the pool's inner products run once for all lanes.
    """

    whole: Combination
    source: int
    """Its place in the pool."""
    masks: bool
    """Whether the source leaves the pool (token-dependent coefficients) instead of counting as zero."""

    @property
    def group(self) -> int:
        """The whole combination's."""
        return self.whole.group

    @property
    def sites(self) -> tuple[str, ...]:
        """The whole combination's."""
        return self.whole.sites

    @property
    def exclusive(self) -> bool:
        """Combinations leave the backbone frozen."""
        return False

    @property
    def means(self) -> None:
        """Nothing is noted."""
        return

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor:
        """Return the whole pool's inner activations, (N, d) -> (N, T·r)."""
        return self.whole.shared(site, layer, x)

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        site: str,
        layer: int,
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the combined output of the other sources."""
        del y, generator  # as in the whole combination; nothing is random in evaluation
        assert shared is not None
        whole = self.whole
        point = whole.pool.point(site, layer)
        pool, h = self._reduced(whole.pool.points[point], shared)
        merged = {**whole.fixed, **tensors}
        return whole.combiner.forward(whole.settings, merged, point, pool, x, h, dropout=0.0, generator=None)

    def penalty(self, tensors: Mapping[str, Tensor]) -> None:
        """Return nothing: it is evaluated, not trained."""
        del tensors

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor; it is never trained."""
        return self.whole.decays(name)

    def lr_factor(self, name: str) -> float:
        """Return 1; it is never trained."""
        return self.whole.lr_factor(name)

    def _reduced(self, pool: FrozenPool, h: Tensor) -> tuple[FrozenPool, Tensor]:
        count, _, r = pool.up.shape
        if self.masks:
            others = [t for t in range(count) if t != self.source]
            remaining = h.view(len(h), count, r)[:, others].flatten(1)
            return replace(pool, up=pool.up[others], bias=pool.bias[others]), remaining
        keep = torch.ones(count, dtype=pool.up.dtype, device=pool.up.device)
        keep[self.source] = 0
        return replace(pool, up=pool.up * keep[:, None, None], bias=pool.bias * keep[:, None]), h


def without_each(
    whole: Combination,
    *,
    token_dependent: bool,
    learned: Tensors,
    method: MethodLayer,
    method_settings: Any,
    adapters: tuple[Tensors, ...],
    backbone: Backbone,
) -> list[Combination | WithoutSource]:
    """Return the combination without each of its sources, in the order of the pool.

    Args:
        whole: With all of them.
        token_dependent: Whether coefficients differ from token to token.
        learned: The combiner's tensors.
        method: Torch side of the adapters' method.
        method_settings: Its settings.
        adapters: The T adapters; read where a combiner averages parameters, whose pool is one adapter.
        backbone: Where it runs.
    """
    if not isinstance(whole.combiner, AveragingLayer):
        return [WithoutSource(whole, t, masks=token_dependent) for t in range(len(adapters))]
    found: list[Combination | WithoutSource] = []
    for t in range(len(adapters)):
        # A weight of zero and an adapter of zeros are the same in a weighted sum of parameters.
        zeroed = {name: torch.zeros_like(tensor) for name, tensor in adapters[t].items()}
        pool = pool_for(
            whole.combiner,
            whole.settings,
            learned,
            method,
            method_settings,
            [*adapters[:t], zeroed, *adapters[t + 1 :]],
            backbone,
        )
        found.append(replace(whole, pool=pool))
    return found
