"""What the core sees of ProPETL without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from adapterlab.plugin import AdapterMethod, BackboneShape
from adapterlab_bottleneck.plugin import BottleneckSettings, PfeifferSettings, bottleneck_parameters

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


class ProPetlSettings(BottleneckSettings):
    """Settings of ``method = "propetl"``; the paper trains at lr 1e-3 with weight decay 0.1."""

    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of each shared matrix that a layer's mask keeps; the rest is zero."""
    mask_lr_factor: Annotated[float, Field(gt=0, le=1000)] = 5.0
    """Learning rate of the masks' scores over that of the weights; 5e-3 over 1e-3 in the paper."""


class ProPetl(AdapterMethod):
    """One Pfeiffer adapter shared by all layers; each layer keeps its own half of the weights.

    The masks are trained, as ProPETL says; the official code of ScaLearn leaves them at random.

    Source: ProPETL, arXiv 2305.17682, section 3.
    """

    name = "propetl"
    version = 1
    settings = ProPetlSettings
    combinable = True
    training: Mapping[str, float] = {"lr": 1e-3, "weight_decay": 0.1}
    """Source: ScaLearn, arXiv 2310.01217, appendix A."""

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its one site, after the feed-forward block."""
        return ("ffn",)

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what a combination of its adapters is: a Pfeiffer adapter with weights for every layer."""
        assert isinstance(settings, ProPetlSettings)
        return "pfeiffer", PfeifferSettings(
            reduction_factor=settings.reduction_factor, non_linearity=settings.non_linearity
        )

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``2·d·r + r + d + L·2·d·r``: 959,280 at roberta-base shape with the defaults."""
        assert isinstance(settings, ProPetlSettings)
        site = shape.site("ffn")
        masked = (site.input + site.output) * settings.width(site.output)
        return bottleneck_parameters(site, settings) + shape.layers * masked

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_propetl.layer import ProPetlLayer

        assert isinstance(settings, ProPetlSettings)
        return ProPetlLayer(settings, shape, self.sites(settings))


PROPETL = ProPetl()
