"""What the core sees of the Houlsby adapter without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from pydantic import BaseModel

from adapterlab.records import BackboneShape
from adapterlab_bottleneck.plugin import BottleneckSettings, NonLinearity, bottleneck_parameters


class HoulsbySettings(BottleneckSettings):
    """Settings of ``method = "houlsby"``; AdapterHub's ``double_seq_bn`` has reduction 16 and swish."""

    non_linearity: NonLinearity = "swish"
    """Between the projections."""


class Houlsby:
    """Two bottlenecks a layer; each output is added before its sub-block's residual and LayerNorm.

    Source: Houlsby et al., arXiv 1902.00751, figure 2; AdapterHub's ``DoubleSeqBnConfig``.
    """

    name = "houlsby"
    version = 1
    settings: type[BaseModel] = HoulsbySettings
    combinable = True
    exclusive = False
    training: Mapping[str, float] = {}

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its two sites."""
        return ("attention.out", "ffn.out")

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel]:
        """Return what a combination of its adapters is: another of the kind, wider."""
        return self.name, settings

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``2·L · (2·d·r + r + d)``: 1,789,056 at roberta-base shape with the defaults."""
        assert isinstance(settings, HoulsbySettings)
        return 2 * shape.layers * bottleneck_parameters(shape.hidden_size, settings.width(shape.hidden_size))

    def layer(self) -> ModuleType:
        """Import the torch side."""
        return import_module("adapterlab_houlsby.layer")


HOULSBY = Houlsby()
