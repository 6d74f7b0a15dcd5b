"""What the core sees of AdapterFusion without importing torch.

Source: AdapterFusion, arXiv 2005.00247; its "dynamic" configuration in AdapterHub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from adapterlab.records import BackboneShape


class AdapterFusionSettings(BaseModel):
    """What AdapterFusion has beyond the searched lr and dropout."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    value_regulariser: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Weight of the loss term ``Σ_l ‖I − V_l‖²`` that holds value matrices near the identity. Part of the
    loss, so that its gradient is clipped with the others; the official code applies it one step late."""


@dataclass(frozen=True)
class AdapterFusion:
    """Queries from the token, keys and values from each source's output."""

    name: str = "adapterfusion"
    version: int = 1
    settings: type[BaseModel] = AdapterFusionSettings
    dimensions: Mapping[str, Any] = field(default_factory=lambda: {"lr": 5e-5, "dropout": 0.1})
    token_dependent: bool = True

    def coefficient_shape(self, shape: BackboneShape, sources: int) -> tuple[int, int, int]:
        """Return (L, T, 1), the shape of mean attention weights."""
        return shape.layers, sources, 1

    def trainable_parameters(
        self,
        settings: BaseModel,  # noqa: ARG002 - the protocol's; no setting changes the count
        shape: BackboneShape,
        sources: int,  # noqa: ARG002 - the protocol's; the count does not depend on the pool
    ) -> int:
        """Return ``L·(3d² + 2d)``: 21,252,096 at roberta-base shape."""
        d = shape.hidden_size
        return shape.layers * (3 * d * d + 2 * d)

    def layer(self) -> Any:
        """Import the torch side."""
        return import_module("adapterlab_adapterfusion.layer").AdapterFusionLayer()


ADAPTERFUSION = AdapterFusion()
