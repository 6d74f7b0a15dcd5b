"""What the core sees of the Pfeiffer adapter without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapterlab.plugin import AdapterMethod, BackboneShape, Site, UsageError

if TYPE_CHECKING:
    from adapterlab.plugin import MethodLayer

NonLinearity = Literal[
    "relu",
    "gelu",
    "gelu_new",
    "gelu_pytorch_tanh",
    "leakyrelu",
    "linear",
    "mish",
    "quick_gelu",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
]
"""As AdapterHub names them; each is in ``adapterlab.plugin.ACTIVATIONS``."""


class BottleneckSettings(BaseModel):
    """What every bottleneck method has."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    reduction_factor: Annotated[int, Field(ge=1, le=1024)] | Annotated[float, Field(ge=1 / 1024, le=1024)] = (
        16
    )
    """Hidden size over bottleneck width; below 1 the bottleneck is wider than the hidden size."""
    non_linearity: NonLinearity = "relu"
    """Between the projections."""

    def width(self, hidden_size: int) -> int:
        """Return the bottleneck width ``r = d // reduction_factor``, at least 1."""
        return max(1, int(hidden_size // self.reduction_factor))


class DenseSettings(BottleneckSettings):
    """What bottlenecks have whose weights are their own at every point."""

    layer_norm: Literal["none", "before", "after", "both"] = Field(
        "none", exclude_if=lambda one: one == "none"
    )
    """LayerNorms of the adapter's own, trained with it: none, as in the papers; before the first projection; after the
    second; or both. With one, adapters cannot be combined. AdapterHub's ``ln_before`` and ``ln_after``. In keys where it
    is not none."""

    @property
    def norms(self) -> tuple[str, ...]:
        """Which of ``before`` and ``after`` there are."""
        return ("before", "after") if self.layer_norm == "both" else tuple({self.layer_norm} - {"none"})

    def norm_parameters(self, site: Site) -> int:
        """Return the weights and biases of its LayerNorms at a site, two numbers a dimension each."""
        sizes = {"before": site.input, "after": site.output}
        return sum(2 * sizes[one] for one in self.norms)


class BottleneckMethod(AdapterMethod):
    """What methods of bottlenecks have in common."""

    combinable = True

    def pooled(self, each: Sequence[BaseModel]) -> BaseModel:
        """Return the first's settings: widths may differ, what is between the projections may not.

        Raises:
            UsageError: Non-linearities differ; the pool's inner activations are one product and one non-linearity. Or
                one has a LayerNorm of its own.
        """
        first = each[0]
        assert isinstance(first, BottleneckSettings)
        for one in each:
            if isinstance(one, DenseSettings) and one.norms:
                raise UsageError(
                    f"bottlenecks with LayerNorms of their own cannot be combined: layer_norm = {one.layer_norm!r}"
                )
        for other in each:
            assert isinstance(other, BottleneckSettings)
            if other.non_linearity != first.non_linearity:
                raise UsageError(
                    f"bottlenecks of one pool share their non_linearity: {first.non_linearity} and {other.non_linearity}"
                )
        return first


class PfeifferSettings(DenseSettings):
    """Settings of ``method = "pfeiffer"``; the papers have reduction 16 and relu."""


class Pfeiffer(BottleneckMethod):
    """One bottleneck a layer, ``u = W_up σ(W_down x + b_down) + b_up``.

    Source: AdapterFusion, arXiv 2005.00247, section 4.1 (the architecture found by their search).
    """

    name = "pfeiffer"
    version = 1
    settings = PfeifferSettings
    merge_spaces = frozenset({"parameters"})

    def sites(self, settings: BaseModel) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return its one site, after the feed-forward block."""
        return ("ffn",)

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel] | None:
        """Return what a combination of its adapters is: another of the kind, wider; none with LayerNorms of their own."""
        assert isinstance(settings, PfeifferSettings)
        return None if settings.norms else (self.name, settings)

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return ``L · (2·d·r + r + d)``, 894,528 at roberta-base shape with the defaults, and ``L · 2·d`` a LayerNorm."""
        assert isinstance(settings, PfeifferSettings)
        site = shape.site("ffn")
        return shape.layers * (bottleneck_parameters(site, settings) + settings.norm_parameters(site))

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side."""
        from adapterlab_bottleneck.layer import PfeifferLayer

        assert isinstance(settings, PfeifferSettings)
        return PfeifferLayer(settings, shape, self.sites(settings))


def bottleneck_parameters(site: Site, settings: BottleneckSettings) -> int:
    """Return the weights and biases of one bottleneck, ``2·d·r + r + d`` where input and output are ``d``."""
    r = settings.width(site.output)
    return (site.input + site.output) * r + r + site.output


PFEIFFER = Pfeiffer()
