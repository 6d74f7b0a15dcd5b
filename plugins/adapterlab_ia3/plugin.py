"""What the core sees of (IA)³ without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from adapterlab.plugin import AdapterMethod, BackboneShape

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


class Ia3(AdapterMethod):
    """``y = l ⊙ (W x + b)`` for keys, values and the feed-forward block's inner units, before its GELU.

    The factors multiply what the backbone computes, so adapters of several tasks do not add up:
    they cannot be combined.

    Source: (IA)³, arXiv 2205.05638, section 3.3, placed as AdapterHub does (before the activation).
    """

    name = "ia3"
    training: Mapping[str, float] = {"lr": 5e-3}
    """Source: ScaLearn, arXiv 2310.01217, appendix A."""

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its three sites."""
        return ("attention.key", "attention.value", "ffn.up")

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return the outputs at its sites, ``L · (2·d + inner)``: 55,296 at roberta-base shape."""
        return shape.layers * sum(shape.site(name).output for name in self.sites(settings))

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_ia3.layer import Ia3Layer

        return Ia3Layer(shape, self.sites(settings))


IA3 = Ia3()
