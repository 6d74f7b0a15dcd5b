"""The Houlsby adapter: a bottleneck on the output of each sub-block, before residual and LayerNorm.

Source: Houlsby et al. (arXiv 1902.00751), section 2.1; AdapterHub's ``double_seq_bn``.
"""

from __future__ import annotations

from adapterlab_bottleneck.layer import DenseBottleneckLayer


class HoulsbyLayer(DenseBottleneckLayer):
    """A bottleneck of its own at each site of a layer, whose tensors name the site."""

    def prefix(self, site: str, layer: int) -> str:
        """Return what the names of a point's tensors begin with."""
        return f"layer.{layer}.{site}."
