"""What the core sees of the Houlsby adapter without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from adapterlab.plugin import BackboneShape
from adapterlab_bottleneck.plugin import (
    BottleneckMethod,
    BottleneckSettings,
    NonLinearity,
    bottleneck_parameters,
)

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


class HoulsbySettings(BottleneckSettings):
    """Settings of ``method = "houlsby"``; AdapterHub's ``double_seq_bn`` has reduction 16 and swish."""

    non_linearity: NonLinearity = "swish"
    """Between the projections."""


class Houlsby(BottleneckMethod):
    """Two bottlenecks a layer; each output is added before its sub-block's residual and LayerNorm.

    Source: Houlsby et al., arXiv 1902.00751, figure 2; AdapterHub's ``DoubleSeqBnConfig``.
    """

    name = "houlsby"
    version = 1
    settings = HoulsbySettings
    merge_spaces = frozenset({"parameters"})

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its two sites."""
        return ("attention.out", "ffn.out")

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what a combination of its adapters is: another of the kind, wider."""
        return self.name, settings

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``2·L · (2·d·r + r + d)``: 1,789,056 at roberta-base shape with the defaults."""
        assert isinstance(settings, HoulsbySettings)
        points = [shape.site(name) for name in self.sites(settings)]
        return shape.layers * sum(bottleneck_parameters(site, settings) for site in points)

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_houlsby.layer import HoulsbyLayer

        assert isinstance(settings, HoulsbySettings)
        return HoulsbyLayer(settings, shape, self.sites(settings))


HOULSBY = Houlsby()
