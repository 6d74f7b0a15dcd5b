"""Training without an adapter: the head alone on the backbone as it is, or every weight of the backbone.

In full fine-tuning the lane's tensors are the backbone's own weights, by their Hugging Face names; the
engine starts the lane from them and runs it on its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from torch import Tensor

from adapterlab.plugin import BackboneShape, MethodLayer, Tensors


class NoAdapterLayer(MethodLayer):
    """Attaches nowhere.

    Args:
        shape: The backbone's.
        trains_backbone: Whether every weight of the backbone trains.
    """

    def __init__(self, shape: BackboneShape, *, trains_backbone: bool) -> None:
        super().__init__(shape, ())
        self.trains_backbone = trains_backbone

    @property
    def alike(self) -> Hashable | None:
        """Lanes with nothing but a head; one that trains the backbone is on its own."""
        return None if self.trains_backbone else type(self)

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return no tensors."""
        del generator
        return {}

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Never called, because there is no site.

        Raises:
            LookupError: Always.
        """
        del tensors, layer, x, y
        raise LookupError(f"there is no adapter at {site!r}")
