"""What the core sees of the ScaLearn family without importing torch.

Four combiners differ in two choices only: one coefficient a dimension or one a source (Uniform),
and coefficients of their own for every layer or shared by all layers (++).

Source: ScaLearn, arXiv 2310.01217, section 3 (equations 3 to 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from adapterlab.records import BackboneShape


class ScaLearnSettings(BaseModel):
    """ScaLearn has no settings beyond the searched ones (lr, init_scale, dropout)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class ScaLearn:
    """One member of the family."""

    name: str
    """Name in specs."""
    per_dimension: bool
    """One coefficient for each hidden dimension of a source, or one for the whole source."""
    per_layer: bool
    """Coefficients of their own for each layer, or one set shared by all layers."""
    version: int = 1
    settings: type[BaseModel] = ScaLearnSettings

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

    def layer(self) -> ModuleType:
        """Import the torch side."""
        return import_module("adapterlab_scalearn.layer")


SCALEARN = ScaLearn("scalearn", per_dimension=True, per_layer=True)
SCALEARN_UNIFORM = ScaLearn("scalearn_uniform", per_dimension=False, per_layer=True)
SCALEARN_PP = ScaLearn("scalearn_pp", per_dimension=True, per_layer=False)
SCALEARN_UNIFORM_PP = ScaLearn("scalearn_uniform_pp", per_dimension=False, per_layer=False)
