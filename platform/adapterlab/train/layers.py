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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.passes import Pass, Rectangle

Tensors = dict[str, Tensor]
"""Named tensors of one adapter, transfer or head, e.g. ``{"layer.0.down.weight": …}``."""


class Hook(Protocol):
    """What a backbone calls at its named sites, in every layer.

    The sites of encoders:

    - ``"ffn"``: ``x = LN(f + a)``, ``y = f + a``; the layer's output becomes ``LN(f + a + u)``, so that
      with ``u = 0`` it is the plain layer;
    - ``"attention.out"``, ``"ffn.out"``: ``x = y`` = the sub-block's output after its dropout, before
      the residual and its LayerNorm;
    - ``"attention.query"``, ``"attention.key"``, ``"attention.value"``, ``"ffn.up"``: a linear map,
      ``x`` its input and ``y = W x + b`` before any activation.

    What the hook returns is added onto ``y``.
    """

    @property
    def sites(self) -> frozenset[str]:
        """Where some lane adds something; a backbone calls nowhere else."""

    def __call__(self, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor | None:
        """Return what is added, (N, y's width), zeros on the rows of lanes without the site; or nothing."""


@dataclass(frozen=True)
class FrozenPool:
    """T frozen source adapters at one attachment point, stacked so that all are one.

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
    """Torch side of an adapter method.

    An adapter attaches at points, (layer, site) pairs in layer-major order: with S sites, point
    ``layer · S + index of the site``. Only a method with a linear last factor and sites of the hidden
    size can be stacked and combined; others need no ``stack`` and ``inner``.
    """

    def sites(self, settings: Any) -> tuple[str, ...]:
        """Return the sites where outputs are added, as :class:`Hook` names them."""

    def initial(self, settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:
        """Return freshly initialised tensors of one adapter, all layers, float32."""

    def forward(self, settings: Any, tensors: Tensors, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the adapter's output ``u`` (before any residual): x (N, d) and y (N, e) -> (N, e)."""

    def stack(self, settings: Any, pool: Sequence[Tensors], site: str, layer: int) -> FrozenPool:
        """Stack T adapters' tensors at one point."""

    def inner(self, settings: Any, pool: FrozenPool, x: Tensor) -> Tensor:
        """Return the stacked inner activations, (N, d) -> (N, T·r)."""


@runtime_checkable
class SeveralRates(Protocol):
    """A method some of whose tensors learn faster or slower than the others."""

    def lr_factors(self, settings: Any) -> Mapping[str, float]:
        """Return the learning rate over the lane's, by the beginning of tensors' names."""


class CombinerLayer(Protocol):
    """Torch side of a combiner. It sees a :class:`FrozenPool` and nothing else of the method.

    ``settings`` are those of the light side, validated. A combiner may be a :class:`PenalisedLayer`,
    :class:`FixedLayer`, :class:`AveragingLayer` or :class:`UndecayedLayer` as well.
    """

    def initial(
        self,
        settings: Any,
        size: tuple[int, int, int],
        hidden_size: int,
        init_scale: float,
        generator: torch.Generator,
    ) -> Tensors:
        """Return freshly initialised trainable tensors, all points, float32; may be none at all.

        Args:
            settings: The combiner's.
            size: What the combiner's ``coefficient_shape`` gave, (L or 1, T, d or 1).
            hidden_size: ``d``.
            init_scale: Where coefficients start, in units of 1/T.
            generator: The lane's random numbers.
        """

    def forward(
        self,
        settings: Any,
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        dropout: float,
        generator: torch.Generator | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return ``Σ_t ω_t ⊙ u_t`` for one lane, (N_k, d).

        Args:
            settings: The combiner's.
            tensors: The lane's own tensors and those that are fixed.
            point: Index of the attachment point; of the layer where the method has one site.
            pool: The point's frozen adapters.
            x: The lane's input to the adapters, (N_k, d).
            h: The lane's slice of the inner activations, (N_k, T·r).
            dropout: Probability of the combiner's dropout.
            generator: The lane's random numbers; ``None`` in evaluation.
            observe: Takes the coefficients of each token, (N_k, T); only where they differ by token.
        """

    def coefficients(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the effective coefficients as (L or 1, T, d or 1), for storing, drawing and folding.

        Where coefficients differ from token to token: their means, which evaluation put under
        ``MEAN_COEFFICIENTS``.
        """


MEAN_COEFFICIENTS = "mean_coefficients"
"""Name, among a transfer's tensors, of coefficients averaged over tokens, (L, T, 1)."""


@runtime_checkable
class PenalisedLayer(Protocol):
    """A combiner with a term of its own in the loss."""

    def penalty(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return the term, a scalar; ``None``: nothing with these settings."""


@runtime_checkable
class UndecayedLayer(Protocol):
    """A combiner some of whose tensors weight decay would harm."""

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""


@runtime_checkable
class FixedLayer(Protocol):
    """A combiner with tensors that are decided before training and kept beside the trained ones."""

    def fixed(self, settings: Any, size: tuple[int, int, int], pool: PoolContext) -> Tensors:
        """Return the fixed tensors, float32.

        Raises:
            AdapterlabError: They cannot be made for this pool.
        """


@runtime_checkable
class AveragingLayer(Protocol):
    """A combiner that makes one adapter of the pool's before training, by their parameters."""

    def reduce(
        self, settings: Any, tensors: Mapping[str, Tensor], adapters: Sequence[Mapping[str, Tensor]]
    ) -> Tensors:
        """Return the one adapter; ``tensors`` are the fixed ones."""


@dataclass(frozen=True)
class ModelFolder:
    """Another model a combiner reads."""

    folder: Path
    digest: str
    """Over weights, tokenizer and config."""


@dataclass(frozen=True)
class PoolContext:
    """What a combiner may know of a pool and of the machine before training."""

    sources: tuple[str, ...]
    """Full names of the source tasks, in coefficient order."""
    target: str
    """Full name of the target task."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """What decides a task's training texts, by full name."""
    texts: Callable[[str], Sequence[str]] = field(default=lambda _: ())
    """Training texts of a task, the sequences of a row joined by a space."""
    models: Mapping[str, ModelFolder] = field(default_factory=dict)
    """The models the combiner reads, by the setting that names them."""
    cache: Path | None = None
    """Folder of this machine's caches."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


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

    def weights(self) -> Tensors:
        """Return copies of all its tensors by their Hugging Face names, without a model prefix."""

    def with_weights(self, weights: Mapping[str, Tensor]) -> Backbone:
        """Return this backbone with other tensors, through which gradients flow."""

    def rectangle(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Rectangle:
        """Return a batch as transformers' models take it, (B, S), with any mask; checked."""

    def forward(
        self,
        batch: Pass,
        hook: Hook | None = None,
        generators: Sequence[torch.Generator | None] | None = None,
        *,
        first_only: bool = False,
    ) -> Tensor:
        """Return the last hidden states of every lane, packed, (N, d).

        Args:
            batch: The lanes' rectangles.
            hook: Gives what is added at the sites it names; ``None``: the plain backbone.
            generators: The lanes' streams for the backbone's own dropout; ``None`` entries: off.
            first_only: Whether only the states of each sequence's first token are wanted, (Σ B, d); the
                hook is then called with a row a sequence where the others are not needed.
        """
