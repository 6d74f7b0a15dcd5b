"""What the core sees of the Pfeiffer adapter without importing torch."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapterlab.records import BackboneShape


class PfeifferSettings(BaseModel):
    """Settings of ``[adapter.settings]`` for ``method = "pfeiffer"``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    reduction_factor: Annotated[int, Field(ge=1, le=1024)] = 16
    """Hidden size over bottleneck width; 16 in the papers."""
    non_linearity: Literal["relu", "gelu"] = "relu"
    """Between the projections; relu in the papers."""

    def width(self, hidden_size: int) -> int:
        """Return the bottleneck width ``r = d // reduction_factor``, at least 1."""
        return max(1, hidden_size // self.reduction_factor)


class Pfeiffer:
    """One bottleneck a layer, ``u = W_up σ(W_down x + b_down) + b_up``.

    Source: AdapterFusion, arXiv 2005.00247, section 4.1 (the architecture found by their search).
    """

    name = "pfeiffer"
    version = 1
    settings: type[BaseModel] = PfeifferSettings
    combinable = True
    exclusive = False

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its one site, after the feed-forward block."""
        return ("ffn",)

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``L · (2·d·r + r + d)``: 894,528 at roberta-base shape with the defaults."""
        assert isinstance(settings, PfeifferSettings)
        d, r = shape.hidden_size, settings.width(shape.hidden_size)
        return shape.layers * (2 * d * r + r + d)

    def layer(self) -> ModuleType:
        """Import the torch side."""
        return import_module("adapterlab_bottleneck.layer")


PFEIFFER = Pfeiffer()
