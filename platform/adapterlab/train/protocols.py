"""The torch side of a plug-in: what ``layer()`` of a method, a combiner or a family must offer.

A *pass* is one forward (and backward) over several lanes at once. Lane ``k`` brings a rectangle of
``B_k`` rows padded to its own ``S_k`` tokens; the rectangles lie one after another in a packed
tensor of ``N = Σ B_k·S_k`` token rows. Every matrix product whose weights are frozen runs once over
all N rows; whatever belongs to a lane runs on that lane's slice. Nothing here assumes an encoder, a
bottleneck or a classification head.

Shapes: ``L`` layers, ``d`` hidden size, ``T`` source adapters, ``r`` inner width of an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.passes import Pass, Rectangle

Tensors = dict[str, Tensor]
"""Named tensors of one adapter, transfer or head, e.g. ``{"layer.0.down.weight": …}``."""


@dataclass(frozen=True)
class FrozenPool:
    """One layer of T frozen source adapters, stacked so that all are one.

    The method's non-linear inner part maps (N, d) to (N, T·r); what remains is linear:
    ``u_t = up[t] h_t + bias[t]``.
    """

    inner: Mapping[str, Tensor]
    """The method's stacked inner weights; only the method reads them."""
    up: Tensor
    """Last, linear factors, (T, d, r)."""
    bias: Tensor
    """Their biases, (T, d); zeros for methods without one."""


class MethodLayer(Protocol):
    """Torch side of an adapter method."""

    site: str
    """Where the output is added, a name the backbone knows: ``"ffn"``, after the feed-forward block."""

    def initial(self, settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
        """Return freshly initialised tensors of one adapter, all layers, float32."""

    def forward(self, settings: Any, tensors: Tensors, layer: int, x: Tensor) -> Tensor:
        """Return the adapter's output ``u`` (before any residual) for ``x``, (N, d) -> (N, d)."""

    def stack(self, settings: Any, pool: Sequence[Tensors], layer: int) -> FrozenPool:
        """Stack one layer of T adapters' tensors."""

    def inner(self, settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:
        """Return the stacked inner activations, (N, d) -> (N, T·r)."""


class CombinerLayer(Protocol):
    """Torch side of a combiner. It sees a :class:`FrozenPool` and nothing else of the method."""

    def initial(self, size: tuple[int, int, int], init_scale: float, generator: torch.Generator) -> Tensors:
        """Return freshly initialised trainable tensors, all layers, float32.

        Args:
            size: What the combiner's ``coefficient_shape`` gave, (L or 1, T, d or 1).
            init_scale: Where coefficients start, in units of 1/T.
            generator: The lane's random numbers.
        """

    def forward(
        self,
        tensors: Tensors,
        layer: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        dropout: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return ``Σ_t ω_t ⊙ u_t`` for one lane.

        Args:
            tensors: The lane's own tensors.
            layer: Index of the layer.
            pool: The layer's frozen adapters.
            x: The lane's input to the adapters, (N_k, d).
            h: The lane's slice of the inner activations, (N_k, T·r).
            dropout: Probability on the coefficients.
            generator: The lane's random numbers; ``None`` in evaluation.
        """

    def coefficients(self, tensors: Tensors) -> Tensor:
        """Return the learned coefficients as (L or 1, T, d or 1), for storing and drawing."""


class Backbone(Protocol):
    """A frozen backbone on one device, forward over a pass of many lanes."""

    shape: BackboneShape
    dtype: torch.dtype
    device: torch.device

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Backbone:
        """Return the same backbone in another precision or place."""

    def rectangle(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Rectangle:
        """Return a batch as transformers' models take it, (B, S), with any mask; checked."""

    def forward(
        self,
        batch: Pass,
        residual: Callable[[int, Tensor], Tensor] | None = None,
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> Tensor:
        """Return the last hidden states of every lane, packed, (N, d).

        Args:
            batch: The lanes' rectangles.
            residual: ``residual(layer, x)`` gives what is added at the method's site, (N, d) -> (N, d);
                ``None``: the plain backbone.
            generators: The lanes' streams for the backbone's own dropout; ``None`` entries: off.
        """
