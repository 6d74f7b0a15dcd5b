"""Stage 2's adaptation: a lane that learns how to combine a frozen pool.

What is common to the lanes of a pool, its inner activations, is in ``shared``; the combiner does the
rest on each lane's rows. Shapes: ``N`` token rows, ``L`` points, ``T`` sources, ``d`` hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from adapterlab.train.adaptation import SourcePool
from adapterlab.train.layers import (
    AveragingLayer,
    Backbone,
    CombinerLayer,
    MethodLayer,
    PenalisedLayer,
    UndecayedLayer,
)
from adapterlab.train.token_means import TokenMeans


@dataclass(frozen=True)
class Combination:
    """Stage 2: the lane learns how to combine a frozen pool."""

    pool: SourcePool
    combiner: CombinerLayer
    dropout: float
    """Probability of the combiner's dropout, in [0, 1)."""
    settings: Any = None
    """The combiner's, validated."""
    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors of the combiner that are not trained, on the pool's device."""
    means: TokenMeans | None = None
    """Where evaluation collects token-dependent coefficients; ``None``: nowhere."""
    token_dependent: bool = False
    """Whether the combiner's coefficients differ from token to token."""

    @property
    def group(self) -> int:
        """Lanes on the very same pool share its inner products."""
        return id(self.pool)

    @property
    def sites(self) -> tuple[str, ...]:
        """Where the pool's adapters attach."""
        return self.pool.sites

    @property
    def exclusive(self) -> bool:
        """Combinations leave the backbone frozen."""
        return False

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor:
        """Return the pool's inner activations, (N, d) -> (N, T·r)."""
        pool = self.pool
        return pool.method.inner(pool.settings, pool.points[pool.point(site, layer)], x)

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
        """Return the combined output of the pool."""
        del y  # outputs of a pool depend on the sites' inputs alone
        assert shared is not None
        point = self.pool.point(site, layer)
        return self.combiner.forward(
            self.settings,
            {**self.fixed, **tensors},
            point,
            self.pool.points[point],
            x,
            shared,
            dropout=self.dropout,
            generator=generator,
            observe=None if self.means is None else partial(self.means.observe, point),
        )

    def watched(self) -> Combination:
        """Return this combination, collecting its coefficients over tokens while it is evaluated."""
        return replace(self, means=TokenMeans(len(self.pool.points)))

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return the combiner's own term of the loss, if it has one."""
        if isinstance(self.combiner, PenalisedLayer):
            return self.combiner.penalty(self.settings, tensors)
        return None

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""
        return self.combiner.decays(name) if isinstance(self.combiner, UndecayedLayer) else True

    def lr_factor(self, name: str) -> float:
        """Return 1: every tensor of a transfer learns at one rate."""
        del name
        return 1.0


def pool_for(
    combiner: CombinerLayer,
    settings: Any,
    fixed: Mapping[str, Tensor],
    method: MethodLayer,
    method_settings: Any,
    adapters: Sequence[Mapping[str, Tensor]],
    backbone: Backbone,
) -> SourcePool:
    """Return the pool a combiner works on: the adapters, or the one it makes of them.

    Args:
        combiner: Torch side of the combiner.
        settings: Its settings.
        fixed: Its fixed tensors.
        method: Torch side of the adapters' method.
        method_settings: Its settings.
        adapters: The T adapters in coefficient order.
        backbone: The backbone they are for.

    Raises:
        UsageError: The method's adapters cannot be combined.
    """
    if isinstance(combiner, AveragingLayer):
        # In the backbone's precision, so that a mean is rounded no earlier than everything else.
        precise = [{name: one.to(backbone.dtype) for name, one in each.items()} for each in adapters]
        adapters = [combiner.reduce(settings, fixed, precise)]
    return SourcePool.build(method, method_settings, adapters, backbone)
