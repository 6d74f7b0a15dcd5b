"""What the core sees of the Houlsby adapter without importing torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from adapterlab.plugin import BackboneShape, UsageError
from adapterlab_bottleneck.plugin import (
    BottleneckMethod,
    DenseSettings,
    NonLinearity,
    bottleneck_parameters,
)

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer


_SITES: Mapping[str, tuple[str, ...]] = {
    "both": ("attention.out", "ffn.out"),
    "attention": ("attention.out",),
    "feed_forward": ("ffn.out",),
}


class HoulsbySettings(DenseSettings):
    """Settings of ``method = "houlsby"``; AdapterHub's ``double_seq_bn`` has reduction 16 and swish."""

    non_linearity: NonLinearity = "swish"
    """Between the projections."""
    placement: Literal["both", "attention", "feed_forward"] = Field(
        "both", exclude_if=lambda one: one == "both"
    )
    """Behind which sub-blocks of a layer the bottlenecks stand: both, as in the paper, or one of them. In keys where
    it is not both."""


class Houlsby(BottleneckMethod):
    """Two bottlenecks a layer; each output is added before its sub-block's residual and LayerNorm.

    Source: Houlsby et al., arXiv 1902.00751, figure 2; AdapterHub's ``DoubleSeqBnConfig``.
    """

    name = "houlsby"
    version = 1
    settings = HoulsbySettings
    merge_spaces = frozenset({"parameters"})

    def sites(self, settings: BaseModel) -> tuple[str, ...]:
        """Return its two sites, or the one of its placement."""
        assert isinstance(settings, HoulsbySettings)
        return _SITES[settings.placement]

    def pooled(self, each: Sequence[BaseModel]) -> BaseModel:
        """Return the first's settings: widths may differ, places and non-linearity may not.

        Raises:
            UsageError: They do.
        """
        places = [one.placement for one in each if isinstance(one, HoulsbySettings)]
        if len(set(places)) > 1:
            raise UsageError(
                f"adapters of one pool share their placement: {', '.join(dict.fromkeys(places))}"
            )
        return super().pooled(each)

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel] | None:
        """Return what a combination of its adapters is: another of the kind, wider; none with LayerNorms of their own."""
        assert isinstance(settings, HoulsbySettings)
        return None if settings.norms else (self.name, settings)

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``2·L · (2·d·r + r + d)``, 1,789,056 at roberta-base shape with the defaults; of one place half.

        And ``2·d`` for each LayerNorm.
        """
        assert isinstance(settings, HoulsbySettings)
        points = [shape.site(name) for name in self.sites(settings)]
        return shape.layers * sum(
            bottleneck_parameters(site, settings) + settings.norm_parameters(site) for site in points
        )

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_houlsby.layer import HoulsbyLayer

        assert isinstance(settings, HoulsbySettings)
        return HoulsbyLayer(settings, shape, self.sites(settings))


HOULSBY = Houlsby()
