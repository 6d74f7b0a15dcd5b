"""What the core sees of the combiners with fixed coefficients without importing torch.

Their only trained part is the head. Coefficients are one number a source, the same in every layer.

Source: ScaLearn, arXiv 2310.01217, section 2 and appendix A.2 (probing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from adapterlab.plugin import Combiner, PoolShape

if TYPE_CHECKING:
    from adapterlab.plugin import CombinerLayer

TARGET = "target"
"""Stands for the target's own adapter among a probe's sources."""

Coefficient = Annotated[float, Field(ge=-10, le=10)]


class FixedSettings(BaseModel):
    """Has no settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class ProbeSettings(FixedSettings):
    """Which coefficients are tried: one set of ``weights``, or a ``grid`` over one or two sources."""

    weights: dict[str, Coefficient] = Field(default_factory=dict)
    """Coefficients by source task, ``"target"`` being the target itself; others are 0. For example
    ``{ "glue/mnli" = 0.3, target = 0.7 }``. Excludes a grid."""
    sources: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=50)] = (TARGET,)
    """The one or two sources a grid varies, source tasks or ``"target"``; with ``each_alone`` any number."""
    each_alone: bool = False
    """Whether each of the sources has a grid by itself, all others being 0, in place of one over their pairs."""
    grid: Annotated[tuple[Coefficient, ...], Field(strict=False, min_length=1, max_length=50)] = (
        0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0,
    )  # fmt: skip
    """The coefficients; with two sources every pair of them. Each point is a study of its own, with its
    own final runs, so that each has a test value over the same seeds."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> ProbeSettings:
        if self.weights and {"sources", "grid", "each_alone"} & self.model_fields_set:
            raise ValueError("weights are one point; give weights, or sources and a grid")
        if len(self.sources) > 2 and not self.each_alone:
            raise ValueError(
                f"sources: {len(self.sources)} listed; a grid is over one or two, or over each_alone = true"
            )
        for name, values in (("sources", self.sources), ("grid", self.grid)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: listed twice")
        return self

    @model_serializer(mode="wrap")
    def _only_what_counts(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A point is the same whether it was written as weights or came from a grid.
        counts = {"weights"} if self.weights else {"sources", "grid"}
        if self.each_alone:
            counts.add("each_alone")
        return {name: value for name, value in dump(self).items() if name in counts}


Weigh = Callable[[Any, Sequence[str], str], "list[float] | str"]
"""From settings, pool and target to coefficients, or to what is wrong."""


@dataclass(frozen=True)
class FixedCombiner(Combiner):
    """One coefficient a source, decided before training."""

    name: str
    weigh: Weigh
    settings: type[BaseModel] = FixedSettings

    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return 0: only the head is trained."""
        del settings, pool
        return 0

    def complaint(self, settings: BaseModel, pool: Sequence[str], target: str) -> str | None:
        """Return why a pool cannot be combined like this, if it cannot."""
        found = self.weigh(settings, pool, target)
        return found if isinstance(found, str) else None

    def layer(self, settings: FixedSettings, pool: PoolShape) -> CombinerLayer:
        """Import the torch side."""
        from adapterlab_fixed.layer import FixedCoefficients

        return FixedCoefficients(settings, pool, self.weigh)


@dataclass(frozen=True)
class Probe(FixedCombiner):
    """Fixed coefficients by name, or a grid of them."""

    def points(self, settings: BaseModel) -> Sequence[tuple[str, BaseModel]]:
        """Return each point's label and settings."""
        assert isinstance(settings, ProbeSettings)
        if settings.weights:
            return [(_label(settings.weights), settings)]
        if settings.each_alone:
            named = [{source: value} for source in settings.sources for value in settings.grid]
        else:
            values = product(settings.grid, repeat=len(settings.sources))
            named = [dict(zip(settings.sources, point, strict=True)) for point in values]
        return [(_label(weights), ProbeSettings(weights=weights)) for weights in named]

    def coordinates(self, settings: BaseModel) -> Mapping[str, float]:
        """Return the coefficients by source."""
        assert isinstance(settings, ProbeSettings)
        return dict(settings.weights)


def _label(weights: Mapping[str, float]) -> str:
    return " ".join(f"{name.rsplit('/', 1)[-1]} {value:g}" for name, value in weights.items())


def _uniform(settings: Any, pool: Sequence[str], target: str) -> list[float] | str:  # noqa: ARG001
    return [1 / len(pool)] * len(pool)


def _single(settings: Any, pool: Sequence[str], target: str) -> list[float] | str:  # noqa: ARG001
    if target not in pool:
        return f"the pool of {target} does not hold its own adapter, the only one that single uses"
    return [float(source == target) for source in pool]


def _probed(settings: Any, pool: Sequence[str], target: str) -> list[float] | str:
    """Weigh by name; without weights (a grid), only check that its sources are there."""
    weights: Mapping[str, float] = settings.weights or dict.fromkeys(settings.sources, 0.0)
    named: dict[str, float] = {}
    for name, value in weights.items():
        source = target if name == TARGET else name
        if source not in pool:
            return f"the pool of {target} does not hold {source}, which the probe names"
        if source in named:
            return f"the probe names {source} twice when it is the target"
        named[source] = value
    return [named.get(source, 0.0) for source in pool]


UNIFORM_AVERAGE = FixedCombiner("uniform_average", _uniform)
SINGLE = FixedCombiner("single", _single)
PROBE = Probe("probe", _probed, ProbeSettings)
