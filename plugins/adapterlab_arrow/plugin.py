"""What the core sees of Arrow without importing torch.

Source: Arrow, arXiv 2405.11157, section 4; as PEFT 0.21's ``create_arrow_model`` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from adapterlab.plugin import AdapterMethod, BackboneShape, Combiner, PoolShape

if TYPE_CHECKING:
    from adapterlab.plugin import CombinerLayer


class ArrowSettings(BaseModel):
    """How tokens are routed; the defaults are PEFT's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    top_k: Annotated[int, Field(ge=1, le=4096)] = 3
    """Sources that a token is sent to, at most as many as there are."""
    temperature: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Scores are divided by it before the softmax."""


@dataclass(frozen=True)
class Arrow(Combiner):
    """A softmax over sources, by how far a token points along each one's strongest direction."""

    name: str = "arrow"
    settings: type[BaseModel] = ArrowSettings
    token_dependent: bool = True

    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return 0: only the head is trained."""
        del settings, pool
        return 0

    def misfit(
        self,
        settings: BaseModel,
        method: AdapterMethod,
        each: Sequence[BaseModel],
        shape: BackboneShape | None,
    ) -> str | None:
        """Return that only products of two factors have a direction, where there are none."""
        del settings, each, shape
        if "product" in method.merge_spaces:
            return None
        return f"it routes by the products of two factors, which adapters of {method.name} do not have"

    def layer(self, settings: ArrowSettings, pool: PoolShape) -> CombinerLayer:
        """Import the torch side."""
        from adapterlab_arrow.layer import ArrowLayer

        return ArrowLayer(settings, pool)


ARROW = Arrow()
