"""What the core sees of head-only training and full fine-tuning without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from adapterlab.records import BackboneShape


class NoSettings(BaseModel):
    """Settings of ``method = "head_only"`` and ``method = "full"``: there are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class WithoutAdapter:
    """Training without an adapter: of the head alone, or of every weight."""

    name: str
    exclusive: bool
    """Whether every weight of the backbone trains, in a pass of the lane's own."""
    version: int = 1
    settings: type[BaseModel] = NoSettings
    combinable: bool = False
    training: Mapping[str, float] = field(default_factory=dict)

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - none at all
        """Return nothing: there is no adapter."""
        return ()

    def folds_into(self, settings: BaseModel) -> None:  # noqa: ARG002 - never
        """Return nothing: there is no adapter to combine."""
        return

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int | None:  # noqa: ARG002
        """Return 0 for the head alone, else the encoder's weights, without any pooler.

        124,055,040 for roberta-base. The 124,645,632 in the papers' tables count its pooler (590,592)
        as well, which the two-layer head takes the place of.
        """
        return shape.encoder_parameters if self.exclusive else 0

    def layer(self) -> ModuleType:
        """Import the torch side."""
        return import_module(f"adapterlab_full.{'whole' if self.exclusive else 'layer'}")


HEAD_ONLY = WithoutAdapter("head_only", exclusive=False)
FULL = WithoutAdapter("full", exclusive=True, training={"lr": 2e-5})
"""Its rate is the papers'. Source: ScaLearn, arXiv 2310.01217, appendix A."""
