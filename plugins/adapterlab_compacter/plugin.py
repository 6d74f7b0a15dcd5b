"""What the core sees of Compacter++ without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from adapterlab.plugin import AdapterMethod, BackboneShape, UsageError
from adapterlab_bottleneck.plugin import BottleneckSettings, NonLinearity, PfeifferSettings

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


class CompacterSettings(BottleneckSettings):
    """Settings of ``method = "compacter_pp"``; the papers have reduction 16, n = 4 and gelu."""

    non_linearity: NonLinearity = "gelu"
    """Between the projections."""
    phm_dim: Annotated[int, Field(ge=1, le=64)] = 4
    """Summands of each projection, ``n``; divides the hidden size."""

    def width(self, hidden_size: int) -> int:
        """Return the bottleneck width: ``d // reduction_factor``, rounded up to a multiple of n.

        Raises:
            UsageError: ``n`` does not divide the hidden size.
        """
        if hidden_size % self.phm_dim:
            raise UsageError(
                f"compacter_pp: phm_dim = {self.phm_dim} does not divide the hidden size {hidden_size}"
            )
        return -(-super().width(hidden_size) // self.phm_dim) * self.phm_dim


class CompacterPlusPlus(AdapterMethod):
    """One bottleneck a layer with ``W = Σ_i A_i ⊗ (L_i R_i)``; A is shared by all layers and projections.

    Source: Compacter, arXiv 2106.04647, section 4 (Compacter++: no adapter after attention).
    """

    name = "compacter_pp"
    version = 1
    settings = CompacterSettings
    combinable = True
    training: Mapping[str, float] = {"lr": 3e-3}
    """Source: ScaLearn, arXiv 2310.01217, appendix A."""

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its one site, after the feed-forward block."""
        return ("ffn",)

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what a combination of its adapters is: a Pfeiffer adapter with dense weights."""
        assert isinstance(settings, CompacterSettings)
        return "pfeiffer", PfeifferSettings(
            reduction_factor=settings.reduction_factor, non_linearity=settings.non_linearity
        )

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``L · (2·(d + r) + r + d) + n³``: 29,440 at roberta-base shape with the defaults."""
        assert isinstance(settings, CompacterSettings)
        site = shape.site("ffn")
        r = settings.width(site.output)
        return shape.layers * (site.input + site.output + 3 * r + site.output) + settings.phm_dim**3

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_compacter.layer import CompacterLayer

        assert isinstance(settings, CompacterSettings)
        return CompacterLayer(settings, shape, self.sites(settings))


COMPACTER_PP = CompacterPlusPlus()
