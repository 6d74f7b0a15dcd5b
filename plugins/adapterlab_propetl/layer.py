"""ProPETL: one bottleneck for all layers, pruned by each layer's own binary mask.

The mask keeps the ``k`` share of entries whose scores are greatest in absolute value; gradients pass
it straight through to the scores. Expanded, a layer is an ordinary bottleneck.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``L`` layers.

Source: ProPETL (arXiv 2305.17682), section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterlab.plugin import BackboneShape, Tensors
from adapterlab_bottleneck import bottleneck
from adapterlab_bottleneck.bottleneck import Bottleneck
from adapterlab_bottleneck.layer import BottleneckLayer
from adapterlab_propetl.plugin import ProPetlSettings

_SCORES = "scores."


class ProPetlLayer(BottleneckLayer):
    """One shared bottleneck, masked differently in each layer."""

    settings: ProPetlSettings

    def __init__(self, settings: ProPetlSettings, shape: BackboneShape, sites: Sequence[str]) -> None:
        super().__init__(shape, sites)
        self.settings = settings

    def lr_factor(self, name: str) -> float:
        """Return how much faster the masks' scores learn."""
        return self.settings.mask_lr_factor if name.startswith(_SCORES) else 1.0

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return one adapter's tensors: weights N(0, 0.02), biases 0, scores Kaiming-uniform."""
        (site,) = self.sites
        r = self.settings.width(site.output)
        tensors = bottleneck.initial(site, r, generator).named("")
        for layer in range(self.shape.layers):
            # The official code holds scores transposed to weights, so that their fan-in is the weights' rows.
            tensors |= {
                f"{_SCORES}layer.{layer}.down": _kaiming((r, site.input), r, generator),
                f"{_SCORES}layer.{layer}.up": _kaiming((site.output, r), site.output, generator),
            }
        return tensors

    def at(self, tensors: Mapping[str, Tensor], site: str, layer: int) -> Bottleneck:
        """Return the shared bottleneck under a layer's masks, ``W ⊙ M``."""
        del site
        shared = bottleneck.read(tensors, "")
        keep = self.settings.keep
        return shared._replace(
            down=shared.down * mask_of(tensors[f"{_SCORES}layer.{layer}.down"], keep),
            up=shared.up * mask_of(tensors[f"{_SCORES}layer.{layer}.up"], keep),
        )


def mask_of(scores: Tensor, keep: float) -> Tensor:
    """Return 1 for the ``keep`` share of greatest scores in absolute value, else 0; (r, d) or (K, r, d).

    The gradient passes straight through to the absolute values of the scores.
    """
    size = scores.abs()
    order = size.detach().flatten(-2).argsort(-1)  # (…, r·d)
    dropped = order[..., : int((1 - keep) * order.shape[-1])]
    mask = torch.ones_like(order, dtype=size.dtype).scatter_(-1, dropped, 0.0).view(size.shape)
    return mask + (size - size.detach())


def _kaiming(size: tuple[int, int], fan_in: int, generator: torch.Generator) -> Tensor:
    bound = fan_in**-0.5  # Kaiming-uniform with a = √5
    return torch.empty(size).uniform_(-bound, bound, generator=generator)
