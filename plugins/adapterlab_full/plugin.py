"""What the core sees of head-only training and full fine-tuning without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel

from adapterlab.plugin import AdapterMethod, BackboneShape

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


@dataclass(frozen=True)
class WithoutAdapter(AdapterMethod):
    """Training without an adapter: of the head alone, or of every weight."""

    name: str
    exclusive: bool
    """Whether every weight of the backbone trains, in a pass of the lane's own."""
    training: Mapping[str, float] = field(default_factory=dict)

    def sites(self, settings: BaseModel) -> tuple[str, ...]:
        """Return nothing: there is no adapter."""
        del settings
        return ()

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int | None:
        """Return 0 for the head alone, else the encoder's weights, without any pooler.

        124,055,040 for roberta-base. The 124,645,632 in the papers' tables count its pooler (590,592)
        as well, which the two-layer head takes the place of.
        """
        del settings
        return shape.parameters if self.exclusive else 0

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_full.layer import NoAdapterLayer

        del settings
        return NoAdapterLayer(shape, trains_backbone=self.exclusive)


HEAD_ONLY = WithoutAdapter("head_only", exclusive=False)
FULL = WithoutAdapter("full", exclusive=True, training={"lr": 2e-5})
"""Its rate is the papers'. Source: ScaLearn, arXiv 2310.01217, appendix A."""
