"""What the core sees of AdapterFusion without importing torch.

Source: AdapterFusion, arXiv 2005.00247; its "dynamic" configuration in AdapterHub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from adapterlab.plugin import Combiner, PoolShape

if TYPE_CHECKING:
    from adapterlab.plugin import CombinerLayer


class AdapterFusionSettings(BaseModel):
    """What AdapterFusion has beyond the searched lr and dropout."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    value_regulariser: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Weight of the loss term ``Σ_l ‖I − V_l‖²`` that holds value matrices near the identity. Part of the
    loss, so that its gradient is clipped with the others; the official code applies it one step late."""


@dataclass(frozen=True)
class AdapterFusion(Combiner):
    """Queries from the token, keys and values from each source's output."""

    name: str = "adapterfusion"
    settings: type[BaseModel] = AdapterFusionSettings
    dimensions: Mapping[str, Any] = field(default_factory=lambda: {"lr": 5e-5, "dropout": 0.1})
    token_dependent: bool = True

    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return ``L·(3d² + 2d)``: 21,252,096 at roberta-base shape."""
        del settings  # none changes the count
        return sum(
            site.input**2 + site.input * site.output + site.output**2 + 2 * site.input for site in pool.points
        )

    def layer(self, settings: AdapterFusionSettings, pool: PoolShape, *, dropout: float) -> CombinerLayer:
        """Import the torch side."""
        from adapterlab_adapterfusion.layer import AdapterFusionLayer

        return AdapterFusionLayer(settings, pool, dropout=dropout)


ADAPTERFUSION = AdapterFusion()
