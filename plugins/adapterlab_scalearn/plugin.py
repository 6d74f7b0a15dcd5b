"""What the core sees of the ScaLearn family without importing torch.

The combiners differ in few choices: one coefficient a dimension or one a source (Uniform), of their own
for every layer or shared by all layers (++), and as they are or under a constraint (mean, softmax).

Source: ScaLearn, arXiv 2310.01217, section 3 (equations 3 to 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from adapterlab.records import BackboneShape

_SEARCH: Mapping[str, Any] = {
    "lr": {"low": 1e-3, "high": 2e-2, "log": True},
    "init_scale": 2.0,
    "dropout": 0.3,
}
"""The paper trains at lr 6e-3, inits at 2/T and drops 0.3 of the coefficients."""


class ScaLearnSettings(BaseModel):
    """What ScaLearn has beyond the searched lr, init_scale and dropout; absent from keys at its defaults."""

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


@dataclass(frozen=True)
class ScaLearn:
    """One member of the family."""

    name: str
    """Name in specs."""
    per_dimension: bool
    """One coefficient for each hidden dimension of a source, or one for the whole source."""
    per_layer: bool
    """Coefficients of their own for each layer, or one set shared by all layers."""
    constraint: Literal["none", "mean", "softmax"] = "none"
    """``mean``: divided by their sum over sources; ``softmax`` over sources; each dimension by itself."""
    version: int = 1
    settings: type[BaseModel] = ScaLearnSettings
    dimensions: Mapping[str, Any] = field(default_factory=lambda: _SEARCH)
    token_dependent: bool = False

    def coefficient_shape(self, shape: BackboneShape, sources: int) -> tuple[int, int, int]:
        """Return (L or 1, T, d or 1)."""
        return (
            shape.layers if self.per_layer else 1,
            sources,
            shape.hidden_size if self.per_dimension else 1,
        )

    def trainable_parameters(
        self,
        settings: BaseModel,  # noqa: ARG002 - the protocol's; no setting changes the count
        shape: BackboneShape,
        sources: int,
    ) -> int:
        """Return the number of coefficients: 73,728, 96, 6,144 and 8 at roberta-base shape, T = 8."""
        layers, count, width = self.coefficient_shape(shape, sources)
        return layers * count * width

    def layer(self) -> Any:
        """Import the torch side."""
        return import_module("adapterlab_scalearn.layer").ScaLearnLayer(self.constraint)


SCALEARN = ScaLearn("scalearn", per_dimension=True, per_layer=True)
SCALEARN_UNIFORM = ScaLearn("scalearn_uniform", per_dimension=False, per_layer=True)
SCALEARN_PP = ScaLearn("scalearn_pp", per_dimension=True, per_layer=False)
SCALEARN_UNIFORM_PP = ScaLearn("scalearn_uniform_pp", per_dimension=False, per_layer=False)
# The constraints of the paper's ablation (table 8), which trains them without dropout.
SCALEARN_MEAN = ScaLearn(
    "scalearn_mean", per_dimension=True, per_layer=True, constraint="mean",
    dimensions={**_SEARCH, "dropout": 0.0},
)  # fmt: skip
SCALEARN_SOFTMAX = ScaLearn(
    "scalearn_softmax", per_dimension=True, per_layer=True, constraint="softmax",
    dimensions={**_SEARCH, "dropout": 0.0},
)  # fmt: skip
