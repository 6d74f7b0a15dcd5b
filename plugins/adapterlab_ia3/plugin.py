"""What the core sees of (IA)³ without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from adapterlab.plugin import AdapterMethod, BackboneShape

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


_SITES = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "attention_output_input": "attention.context",
    "attention_output": "attention.dense",
    "intermediate": "ffn.up",
    "output_input": "ffn.inner",
    "output": "ffn.down",
}
"""What can be scaled: the outputs of a layer's linear maps, and the inputs of two; and the sites of a backbone."""
Target = Literal[
    "query",
    "key",
    "value",
    "attention_output_input",
    "attention_output",
    "intermediate",
    "output_input",
    "output",
]


class Ia3Settings(BaseModel):
    """Settings of ``method = "ia3"``; absent from keys at their defaults.

    Libraries mean different functions by (IA)³. AdapterHub scales the feed-forward block's inner units before their
    activation (``intermediate``, the default here), the paper and PEFT behind it (``output_input``). PEFT's default
    for BERT and RoBERTa is ``["key", "value", "attention_output_input", "output_input"]``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1, max_length=len(_SITES))] = (
        "key",
        "value",
        "intermediate",
    )
    """What is scaled: a linear map's output, or with ``_input`` what it takes."""

    @field_validator("targets")
    @classmethod
    def _in_order(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(targets)) < len(targets):
            raise ValueError("a target is listed twice")
        return tuple(name for name in _SITES if name in targets)  # one order, one key

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Adapters from before this setting existed keep their keys.
        fields = type(self).model_fields
        return {name: value for name, value in dump(self).items() if tuple(value) != fields[name].default}

    @property
    def sites(self) -> tuple[str, ...]:
        """The targets as a backbone names them."""
        return tuple(_SITES[target] for target in self.targets)


class Ia3(AdapterMethod):
    """``y = l ⊙ (W x + b)`` for keys, values and the feed-forward block's inner units, before its GELU.

    The factors multiply what the backbone computes, so adapters of several tasks do not add up:
    they cannot be combined.

    Source: (IA)³, arXiv 2205.05638, section 3.3, placed as AdapterHub does (before the activation) unless
    the settings say otherwise.
    """

    name = "ia3"
    settings = Ia3Settings
    training: Mapping[str, float] = {"lr": 5e-3}
    """Source: ScaLearn, arXiv 2310.01217, appendix A."""

    def sites(self, settings: BaseModel) -> tuple[str, ...]:
        """Return one site for each target."""
        assert isinstance(settings, Ia3Settings)
        return settings.sites

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return the outputs at its sites, ``L · (2·d + inner)``: 55,296 at roberta-base shape.

        PEFT's default also scales what the attention's output projection takes: 64,512.
        """
        return shape.layers * sum(shape.site(name).output for name in self.sites(settings))

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_ia3.layer import Ia3Layer

        return Ia3Layer(shape, self.sites(settings))


IA3 = Ia3()
