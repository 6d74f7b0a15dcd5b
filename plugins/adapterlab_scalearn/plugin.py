"""What the core sees of the ScaLearn family without importing torch.

The combiners differ in few choices: one coefficient a dimension or one a source (Uniform), of their own
for every layer or shared by all layers (++), and as they are or under a constraint (mean, softmax).

Source: ScaLearn, arXiv 2310.01217, section 3 (equations 3 to 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from adapterlab.plugin import Combiner, PoolShape

if TYPE_CHECKING:
    from adapterlab.plugin import CombinerLayer

_SEARCH: Mapping[str, Any] = {
    "lr": {"low": 1e-3, "high": 2e-2, "log": True},
    "init_scale": 2.0,
    "dropout": 0.3,
}
"""The paper trains at lr 6e-3, inits at 2/T and drops 0.3 of the coefficients."""


class ScaLearnSettings(BaseModel):
    """What ScaLearn has beyond its dimensions; absent from keys at its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    regulariser: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Weight λ of a loss term that holds each source's coefficients near 1; the papers use none."""
    regulariser_of: Literal["mean", "official"] = "mean"
    """``mean``: of all variants the mean coefficient; ``official``: of ++ variants their sum, as in the
    official code, whose term for them grows with the hidden size."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Adapters and transfers from before these settings existed keep their keys.
        fields = type(self).model_fields
        return {name: value for name, value in dump(self).items() if value != fields[name].default}


_OPTIONAL: Mapping[str, float] = {"target_share": 0.0, "l1": 0.0}
"""A start and a sparsity that the paper has not."""


@dataclass(frozen=True)
class ScaLearn(Combiner):
    """One member of the family."""

    name: str
    """Name in specs."""
    per_dimension: bool
    """One coefficient for each output dimension of a source, or one for the whole source."""
    per_layer: bool
    """Coefficients of their own for each layer, or one set shared by all layers."""
    constraint: Literal["none", "mean", "softmax"] = "none"
    """``mean``: divided by their sum over sources; ``softmax`` over sources; each dimension by itself."""
    version: int = 1
    settings: type[BaseModel] = ScaLearnSettings
    dimensions: Mapping[str, Any] = field(default_factory=lambda: _SEARCH)
    optional: Mapping[str, float] = field(default_factory=lambda: _OPTIONAL)
    of_target: frozenset[str] = frozenset({"target_share"})

    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return the number of coefficients: 73,728, 96, 6,144 and 8 at roberta-base shape, T = 8."""
        del settings  # none changes the count
        if not self.per_dimension:
            return pool.sources * (len(pool.points) if self.per_layer else 1)
        widths = pool.points_by_width
        return pool.sources * sum(
            width * (len(points) if self.per_layer else 1) for width, points in widths.items()
        )

    def layer(
        self,
        settings: ScaLearnSettings,
        pool: PoolShape,
        *,
        init_scale: float,
        dropout: float,
        target_share: float = 0.0,
        l1: float = 0.0,
    ) -> CombinerLayer:
        """Import the torch side."""
        from adapterlab_scalearn.layer import ScaLearnLayer, Start

        return ScaLearnLayer(
            self, settings, pool, start=Start(init_scale, target_share), dropout=dropout, l1=l1
        )


SCALEARN = ScaLearn("scalearn", per_dimension=True, per_layer=True)
SCALEARN_UNIFORM = ScaLearn("scalearn_uniform", per_dimension=False, per_layer=True)
SCALEARN_PP = ScaLearn("scalearn_pp", per_dimension=True, per_layer=False)
SCALEARN_UNIFORM_PP = ScaLearn("scalearn_uniform_pp", per_dimension=False, per_layer=False)
# The constraints of the paper's ablation (table 8), which trains them without dropout.
# A constraint leaves nothing of what L1 does, and a softmax nothing of a start at 1 and 0.
SCALEARN_MEAN = ScaLearn(
    "scalearn_mean", per_dimension=True, per_layer=True, constraint="mean",
    dimensions={**_SEARCH, "dropout": 0.0}, optional={"target_share": 0.0},
)  # fmt: skip
SCALEARN_SOFTMAX = ScaLearn(
    "scalearn_softmax", per_dimension=True, per_layer=True, constraint="softmax",
    dimensions={**_SEARCH, "dropout": 0.0}, optional={},
)  # fmt: skip
