"""Stage 2's adaptation: a lane that learns how to combine a frozen pool.

What is common to the lanes of a pool, its inner activations, is in ``shared``; the combiner does the
rest on each lane's rows. Shapes: ``N`` token rows, ``T`` sources, ``r`` inner width, ``e`` a point's output
width.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.records import PoolShape
from adapterlab.registry.plugins import Combiner
from adapterlab.train.adaptation import Adaptation, SourcePool
from adapterlab.train.layers import Backbone, CombinerLayer, MethodLayer, Tensors
from adapterlab.train.rng import Draws
from adapterlab.train.together import Together
from adapterlab.train.token_means import TokenMeans
from adapterlab.train.weights import HEAD_PREFIX


@dataclass(frozen=True)
class HeadStart:
    """Where a lane's head starts, between a fresh one and one that is trained."""

    trained: Mapping[str, Tensor]
    """That of the target's own source adapter."""
    share: float
    """0: fresh, 1: the trained one."""

    def over(self, fresh: Mapping[str, Tensor]) -> Tensors:
        """Return ``(1 − share) · fresh + share · trained``, tensor by tensor.

        Raises:
            UsageError: The trained head is none, or one of another shape.
        """
        shapes = [{name: tuple(one.shape) for name, one in head.items()} for head in (fresh, self.trained)]
        if shapes[0] != shapes[1]:
            raise UsageError(
                f"the head starts at the target's own adapter's, which has {shapes[1] or 'none'}, "
                f"where the task needs {shapes[0]}",
                remedy="Take search.source_head out, or train the target's adapter in this sweep (pool.tasks).",
            )
        return {
            name: (1 - self.share) * one + self.share * self.trained[name].to(one.dtype)
            for name, one in fresh.items()
        }


@dataclass(frozen=True)
class Combination(Adaptation):
    """Stage 2: the lane learns how to combine a frozen pool."""

    pool: SourcePool
    combiner: CombinerLayer
    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors of the combiner that are not trained, on the pool's device."""
    token_dependent: bool = False
    """Whether the combiner's coefficients differ from token to token."""
    head: HeadStart | None = None
    """Where the head starts; ``None``: fresh."""
    head_rate: float = 1.0
    """The head's learning rate over the lane's."""
    means: TokenMeans | None = None
    """Where evaluation collects token-dependent coefficients; ``None``: nowhere."""

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        """What the combiner reads."""
        return self.combiner.reads

    @property
    def alike(self) -> Hashable | None:
        """Combinations of alike combiners are alike; one that notes its coefficients is so with none."""
        if self.means is not None or self.combiner.alike is None:
            return None
        return type(self.combiner), self.combiner.alike, tuple(self.fixed)

    def together(self, layers: Sequence[Combination]) -> Combination:
        """Return the combination of several lanes."""
        combiner = self.combiner.together([one.combiner for one in layers])
        return replace(self, combiner=combiner, fixed=Together([one.fixed for one in layers]))

    @property
    def group(self) -> int:
        """Lanes on the very same pool share its inner products."""
        return id(self.pool)

    @property
    def sites(self) -> tuple[str, ...]:
        """Where the pool's adapters attach."""
        return self.pool.sites

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor:
        """Return the pool's inner activations, (N, x's width) -> (N, T·r)."""
        return self.pool.method.inner(self.pool.points[self.pool.shape.point(site, layer)], x)

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return the combined output of the pool, (N_k, e)."""
        del y  # outputs of a pool depend on the sites' inputs alone
        assert shared is not None
        point = self.pool.shape.point(*at)
        return self.combiner.forward(
            ChainMap(tensors, self.fixed),  # type: ignore[arg-type]
            point,
            self.pool.points[point],
            x,
            shared,
            generator=generator,
            observe=None if self.means is None else partial(self.means.observe, point),
        )

    def watched(self) -> Combination:
        """Return this combination, collecting its coefficients over tokens while it is evaluated."""
        return replace(self, means=TokenMeans(len(self.pool.points)))

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return the combiner's own term of the loss, if it has one."""
        return self.combiner.penalty(tensors)

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""
        return self.combiner.decays(name)

    def lr_factor(self, name: str) -> float:
        """Return the head's rate for its tensors, 1 for others."""
        return self.head_rate if name.startswith(HEAD_PREFIX) else 1.0


@dataclass(frozen=True)
class Variation(Adaptation):
    """A learned combination, evaluated otherwise than it was trained; nothing is trained anew.

    Shares the combination's group, so the pool's inner products run once for all lanes.
    """

    whole: Combination

    @property
    def group(self) -> int:
        """The whole combination's."""
        return self.whole.group

    @property
    def sites(self) -> tuple[str, ...]:
        """The whole combination's."""
        return self.whole.sites

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor:
        """Return the pool's inner activations, (N, x's width) -> (N, T·r)."""
        return self.whole.shared(site, layer, x)


def pool_for(
    combiner: CombinerLayer,
    fixed: Mapping[str, Tensor],
    method: MethodLayer,
    adapters: Sequence[Mapping[str, Tensor]],
    backbone: Backbone,
) -> SourcePool:
    """Return the pool a combiner works on: the adapters, or the one it makes of them.

    Args:
        combiner: Torch side of the combiner.
        fixed: Its fixed tensors.
        method: Torch side of the adapters' method.
        adapters: The T adapters in coefficient order.
        backbone: The backbone they are for.

    Raises:
        UsageError: The method's adapters cannot be combined, or not merged.
    """
    if combiner.averages:
        # In the backbone's precision, so that a mean is rounded no earlier than everything else.
        precise = [{name: one.to(backbone.dtype) for name, one in each.items()} for each in adapters]
        adapters = [combiner.merge(fixed, precise, method)]
    return SourcePool.build(method, adapters, backbone)


def combiner_layer(
    plugin: Combiner, settings: Any, pool: PoolShape, values: Mapping[str, float] | None = None
) -> CombinerLayer:
    """Return a combiner's torch side outside of a study.

    Args:
        plugin: The combiner.
        settings: Its settings, validated.
        pool: What is combined.
        values: Of its dimensions, for example those it was trained with; a dimension that is not named has
            its default, of a range the middle.
    """
    given = values or {}
    dimensions = {
        name: given.get(name, _start(default))
        for name, default in {**plugin.dimensions, **plugin.optional}.items()
        if name != "lr"
    }
    return plugin.layer(settings, pool, **dimensions)


def _start(default: Any) -> float:
    """Return one value of a dimension as a combiner declares it: a number, a range or choices."""
    if not isinstance(default, Mapping):
        return float(default)
    if "choices" in default:
        return float(default["choices"][0])
    low, high = float(default["low"]), float(default["high"])
    return math.sqrt(low * high) if default.get("log") else (low + high) / 2
