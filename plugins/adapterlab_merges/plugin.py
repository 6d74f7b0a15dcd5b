"""What the core sees of merges without importing torch.

A merge makes one adapter of the pool's by their parameters, before training; only the head is trained. Each is
up to three steps: leave entries out, agree on signs, add up.

Sources: task arithmetic (arXiv 2212.04089), TIES (arXiv 2306.01708), DARE (arXiv 2311.03099); PEFT 0.21's
``add_weighted_adapter`` for what they are of LoRAs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapterlab.plugin import AdapterMethod, BackboneShape, Combiner, PoolShape

if TYPE_CHECKING:
    from adapterlab.plugin import CombinerLayer

TARGET = "target"
"""Stands for the target's own adapter among the weights."""

Weight = Annotated[float, Field(ge=-10, le=10)]
Space = Literal["parameters", "product"]
Rank = Annotated[int, Field(ge=1, le=4096)] | None


class WeighedSettings(BaseModel):
    """Settings that every merge has."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    weights: dict[str, Weight] = Field(default_factory=dict)
    """Weights by source task, ``"target"`` being the target itself; those that are not named take no part.
    Negative ones subtract. Empty: all sources, equally. For example ``{ "glue/mnli" = 1.0, target = -0.5 }``."""


class SvdSettings(WeighedSettings):
    """Settings of ``svd``."""

    rank: Rank = None
    """Rank of the merged LoRA; absent: the greatest of its sources'."""


class SpaceSettings(SvdSettings):
    """Settings of merges that work on parameters, or on what two factors are together."""

    space: Space = "parameters"
    """What is merged entry by entry: the ``"parameters"`` as they are, or a LoRA's ``"product"`` ``B A``, of
    which the SVD makes factors again (PEFT's ``…_svd``)."""

    @model_validator(mode="after")
    def _rank_of_products(self) -> SpaceSettings:
        if self.rank is not None and self.space != "product":
            raise ValueError('a rank is chosen where products are merged: set space = "product"')
        return self


class TiesSettings(SpaceSettings):
    """Settings of merges that agree on signs."""

    majority_sign: Literal["total", "frequency"] = "total"
    """The sign of an entry: of the sum of its values, or that of most values."""


class DareSettings(SpaceSettings):
    """Settings of merges that leave out entries at random."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of what is left out."""


class DareTiesSettings(DareSettings, TiesSettings):
    """Settings of ``dare_ties``."""


class LoraHubSettings(BaseModel):
    """Settings of ``lorahub``: how its weights are searched. The defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    rows: Annotated[int, Field(ge=4, le=4096)] = 64
    """Random training rows of the target that weights are judged by."""
    evaluations: Annotated[int, Field(ge=1, le=10_000)] = 40
    """Sets of weights that are tried."""
    bound: Annotated[float, Field(gt=0, le=10)] = 1.5
    """Weights lie between ``-bound`` and ``bound``."""
    l1: Annotated[float, Field(ge=0, le=10)] = 0.05
    """Times the mean absolute weight is added to the loss."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Seed of the rows and of the search."""


@dataclass(frozen=True)
class Merge(Combiner):
    """One adapter of the pool's parameters.

    Every entry of the merged adapter is ``Σ_t w_t m_t θ_t``, or, where signs are agreed on, the mean of ``w_t m_t θ_t``
    over the sources whose entry has the chosen sign. ``θ_t`` are a source's parameters and ``m_t`` what is kept of
    them.
    """

    name: str
    settings: type[BaseModel] = SpaceSettings
    dimensions: Mapping[str, Any] = field(default_factory=lambda: {"lr": 3e-4})
    divides: bool = False
    """Whether weights are divided by their sum."""
    shares: Literal["root", "size", "whole"] = "root"
    """What each of two factors has of a weight: its root, its size, or all of it; the sign is one factor's alone but
    for ``"whole"``."""
    keeps: Literal["all", "greatest", "random"] = "all"
    """Which entries of a source take part: as many as ``density`` says, the greatest in magnitude or random ones,
    which are then divided by ``density``."""
    elects: bool = False
    """Whether entries of the minority's sign are left out, and the rest averaged instead of added."""
    limits: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"density": (0.001, 1.0), "scale": (-10.0, 10.0)}
    )

    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return 0: only the head is trained."""
        del settings, pool
        return 0

    def complaint(self, settings: BaseModel, pool: Sequence[str], target: str) -> str | None:
        """Return why a pool cannot be weighed like this, if it cannot."""
        assert isinstance(settings, WeighedSettings)
        found = weights_of(settings, pool, target, divides=self.divides)
        return found if isinstance(found, str) else None

    def misfit(
        self,
        settings: BaseModel,
        method: AdapterMethod,
        each: Sequence[BaseModel],
        shape: BackboneShape | None,
    ) -> str | None:
        """Return why adapters of a method cannot be merged like this, if they cannot."""
        space = space_of(settings)
        if not method.merge_spaces:
            return f"adapters of {method.name} cannot be merged: sums of their parameters mean nothing"
        if space not in method.merge_spaces:
            return f"it merges products of two factors, which adapters of {method.name} do not have"
        sizes = {method.trainable_parameters(one, shape) for one in each} if shape else set()
        if space == "parameters" and len(sizes) > 1:
            return "it merges parameters one by one, and the pool's adapters differ in size" + (
                '; set space = "product"' if "product" in method.merge_spaces else ""
            )
        return None

    def layer(
        self, settings: WeighedSettings, pool: PoolShape, *, density: float = 1.0, scale: float = 1.0
    ) -> CombinerLayer:
        """Import the torch side."""
        from adapterlab_merges.layer import MergeLayer

        return MergeLayer(self, settings, pool, density=density, scale=scale)


@dataclass(frozen=True)
class LoraHub(Merge):
    """A sum whose weights are searched without gradients, on few rows of the target.

    Source: LoraHub, arXiv 2307.13269, section 3.
    """

    reads_rows: bool = True

    def complaint(self, settings: BaseModel, pool: Sequence[str], target: str) -> str | None:
        """Return nothing: any pool has weights."""
        del settings, pool, target
        return None

    def layer(self, settings: LoraHubSettings, pool: PoolShape) -> CombinerLayer:  # type: ignore[override]
        """Import the torch side."""
        from adapterlab_merges.lorahub import LoraHubLayer

        return LoraHubLayer(self, settings, pool, density=1.0, scale=1.0)


def space_of(settings: BaseModel) -> Space:
    """Return what a merge works on; ``svd`` is of products alone."""
    if isinstance(settings, SpaceSettings):
        return settings.space
    return "product" if isinstance(settings, SvdSettings) else "parameters"


def weights_of(
    settings: WeighedSettings, pool: Sequence[str], target: str, *, divides: bool
) -> list[float] | str:
    """Return a weight for each source, or what is wrong in words.

    Args:
        settings: The merge's.
        pool: Full names of the source tasks, in coefficient order.
        target: Full name of the target task.
        divides: Whether they are divided by their sum.
    """
    named: dict[str, float] = {}
    for name, value in settings.weights.items():
        source = target if name == TARGET else name
        if source not in pool:
            return f"the pool of {target} does not hold {source}, which the weights name"
        if source in named:
            return f"the weights name {source} twice when it is the target"
        named[source] = value
    weights = [named.get(source, 0.0) for source in pool] if named else [1.0] * len(pool)
    total = sum(weights)
    if not divides:
        return weights
    if abs(total) < 1e-6:
        return "weights that sum to 0 have no average; task_arithmetic takes them as they are"
    return [weight / total for weight in weights]


_LR = 3e-4
WEIGHTED_AVERAGE = Merge("weighted_average", divides=True, shares="size")
TASK_ARITHMETIC = Merge("task_arithmetic", dimensions={"lr": _LR, "scale": 0.4})
TIES = Merge(
    "ties",
    TiesSettings,
    {"lr": _LR, "density": 0.2, "scale": 1.0},
    keeps="greatest",
    elects=True,
)
DARE_LINEAR = Merge("dare_linear", DareSettings, {"lr": _LR, "density": 0.5, "scale": 0.4}, keeps="random")
DARE_TIES = Merge(
    "dare_ties", DareTiesSettings, {"lr": _LR, "density": 0.5, "scale": 1.0}, keeps="random", elects=True
)
MAGNITUDE_PRUNE = Merge(
    "magnitude_prune", dimensions={"lr": _LR, "density": 0.2, "scale": 0.4}, keeps="greatest"
)
SVD = Merge("svd", SvdSettings, divides=True)
LORAHUB = LoraHub("lorahub", LoraHubSettings, shares="whole")
