"""What a source contributes to a learned combination: the combination without it.

Zeroing a source's coefficients is the same as zeroing its output, ``u_t = U_t h_t + c_t = 0``, whatever a
combiner makes its coefficients from. Where coefficients depend on the token (a softmax over sources), a
zeroed output would still take part; there the source leaves the pool, which masks it out of the softmax.

Shapes: ``N`` token rows, ``T`` sources, ``d`` hidden size, ``r`` inner width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adapterlab.train.adaptation import Adaptation
from adapterlab.train.combination import Combination, Variation, pool_for
from adapterlab.train.layers import Backbone, FrozenPool
from adapterlab.train.rng import Draws


@dataclass(frozen=True)
class WithoutSource(Variation):
    """A combination, learned with all sources and evaluated without one."""

    source: int
    """Its number in the pool."""

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return the combined output of the other sources, (N_k, e)."""
        del y, generator  # as in the whole combination; nothing is random in evaluation
        assert shared is not None
        whole = self.whole
        point = whole.pool.shape.point(*at)
        pool, h = self._reduced(whole.pool.points[point], shared)
        own: Mapping[str, Tensor] = {**whole.fixed, **tensors}
        if whole.token_dependent:
            own = whole.combiner.without(own, self.source)
        return whole.combiner.forward(own, point, pool, x, h, generator=None)

    def _reduced(self, pool: FrozenPool, h: Tensor) -> tuple[FrozenPool, Tensor]:
        """Return the pool without the source: left out where a softmax would count it, else zeroed."""
        count, _, r = pool.up.shape
        if self.whole.token_dependent:
            others = [t for t in range(count) if t != self.source]
            remaining = h.view(len(h), count, r)[:, others].flatten(1)  # (N, (T − 1)·r)
            return replace(pool, up=pool.up[others], bias=pool.bias[others]), remaining
        keep = torch.ones(count, dtype=pool.up.dtype, device=pool.up.device)
        keep[self.source] = 0
        return replace(pool, up=pool.up * keep[:, None, None], bias=pool.bias * keep[:, None]), h


def without_each(
    whole: Combination,
    fixed: Mapping[str, Tensor],
    adapters: Sequence[Mapping[str, Tensor]],
    backbone: Backbone,
) -> list[Adaptation]:
    """Return the combination without each of its sources, in the order of the pool.

    Args:
        whole: With all of them.
        fixed: The combiner's tensors that decide an average.
        adapters: The T adapters; read where a combiner averages parameters, whose pool is one adapter.
        backbone: Where it runs.
    """
    if not whole.combiner.averages:
        return [WithoutSource(whole, t) for t in range(len(adapters))]
    found: list[Adaptation] = []
    for t in range(len(adapters)):
        # A weight of zero and an adapter of zeros are the same in a weighted sum of parameters.
        zeroed = {name: torch.zeros_like(tensor) for name, tensor in adapters[t].items()}
        others = [*adapters[:t], zeroed, *adapters[t + 1 :]]
        found.append(
            replace(whole, pool=pool_for(whole.combiner, fixed, whole.pool.method, others, backbone))
        )
    return found
