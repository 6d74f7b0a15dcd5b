"""What the core sees of (IA)³ without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from adapterlab.records import BackboneShape


class Ia3Settings(BaseModel):
    """Settings of ``method = "ia3"``: there are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Ia3:
    """``y = l ⊙ (W x + b)`` for keys, values and the feed-forward block's inner units, before its GELU.

    The factors multiply what the backbone computes, so adapters of several tasks do not add up:
    they cannot be combined.

    Source: (IA)³, arXiv 2205.05638, section 3.3, placed as AdapterHub does (before the activation).
    """

    name = "ia3"
    version = 1
    settings: type[BaseModel] = Ia3Settings
    combinable = False
    exclusive = False
    training: Mapping[str, float] = {"lr": 5e-3}
    """Source: ScaLearn, arXiv 2310.01217, appendix A."""

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its three sites."""
        return ("attention.key", "attention.value", "ffn.up")

    def folds_into(self, settings: BaseModel) -> None:  # noqa: ARG002 - never
        """Return nothing: its adapters cannot be combined."""
        return

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:  # noqa: ARG002
        """Return ``L · (2·d + inner)``: 55,296 at roberta-base shape."""
        return shape.layers * (2 * shape.hidden_size + shape.intermediate_size)

    def layer(self) -> ModuleType:
        """Import the torch side."""
        return import_module("adapterlab_ia3.layer")


IA3 = Ia3()
