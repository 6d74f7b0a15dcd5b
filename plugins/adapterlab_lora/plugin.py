"""What the core sees of LoRA without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapterlab.plugin import AdapterMethod, BackboneShape

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer

_SITES = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "attention_output": "attention.dense",
    "intermediate": "ffn.up",
    "output": "ffn.down",
}
"""The linear maps of a layer, as AdapterHub and transformers call them, and the sites of a backbone."""
Target = Literal["query", "key", "value", "attention_output", "intermediate", "output"]


class LoraSettings(BaseModel):
    """Settings of ``method = "lora"``; the defaults are AdapterHub's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    r: Annotated[int, Field(ge=1, le=4096)] = 8
    """Rank of each addition."""
    alpha: Annotated[float, Field(gt=0, le=4096)] = 8.0
    """Additions are multiplied by ``alpha / r``."""
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1, max_length=len(_SITES))] = (
        "query",
        "value",
    )
    """Which linear maps get one: of the attention, and of the feed-forward block (``intermediate``, ``output``)."""

    @field_validator("targets")
    @classmethod
    def _in_order(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(targets)) < len(targets):
            raise ValueError("a target is listed twice")
        return tuple(name for name in _SITES if name in targets)  # one order, one key

    @property
    def sites(self) -> tuple[str, ...]:
        """The targets as a backbone names them."""
        return tuple(_SITES[target] for target in self.targets)


class Lora(AdapterMethod):
    """``y = W x + b + (α/r)·B A x`` in the attention's projections, or in any linear map of a layer.

    Source: LoRA, arXiv 2106.09685, section 4.1.
    """

    name = "lora"
    settings = LoraSettings
    combinable = True
    merge_spaces = frozenset({"parameters", "product"})

    def sites(self, settings: BaseModel) -> tuple[str, ...]:
        """Return one site for each target."""
        assert isinstance(settings, LoraSettings)
        return settings.sites

    def pooled(self, each: Sequence[BaseModel]) -> BaseModel:
        """Return the first's settings with the targets of all: scales and ranks may differ, and targets be missing."""
        first = each[0]
        targets = {target for one in each if isinstance(one, LoraSettings) for target in one.targets}
        return first.model_copy(update={"targets": tuple(name for name in _SITES if name in targets)})

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what a combination of its adapters is: a LoRA of rank ``T·r``, the scale unchanged."""
        return self.name, settings

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``L · Σ_sites (i + e)·r``: 294,912 at roberta-base shape with the defaults."""
        assert isinstance(settings, LoraSettings)
        sites = [shape.site(name) for name in settings.sites]
        return shape.layers * settings.r * sum(site.input + site.output for site in sites)

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_lora.layer import LoraLayer

        assert isinstance(settings, LoraSettings)
        return LoraLayer(settings, shape, settings.sites)


LORA = Lora()
