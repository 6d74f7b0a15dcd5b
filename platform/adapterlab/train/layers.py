"""The torch side of a plug-in: base classes of what ``layer()`` of a method, combiner or head returns.

A *layer* is bound: it knows its settings and the shape it is for, so the engine hands it tensors only.

A *pass* is one forward (and backward) over several lanes at once. Lane ``k`` brings a rectangle of
``B_k`` rows padded to its own ``S_k`` tokens; the rectangles lie one after another in a packed
tensor of ``N = Σ B_k·S_k`` token rows. Every matrix product whose weights are frozen runs once over
all N rows. Whatever belongs to a lane runs on that lane's rows, and for all lanes together where their
layers are :class:`alike <Joined>`: then every tensor has a leading axis of lanes. Nothing here assumes an
encoder, a bottleneck, a classification head, or sites of equal width.

Shapes: ``K`` lanes that are computed together, ``R`` rows of the one that has most, ``L`` layers, ``d`` hidden
size, ``T`` source adapters, ``r`` inner width of an adapter, ``e`` a site's output width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.records import BackboneShape, PoolShape, ProblemType, Reads, Site
from adapterlab.registry.checked import Checked
from adapterlab.train import objectives
from adapterlab.train.passes import Pass, Rectangle
from adapterlab.train.rng import Draws, Numbers

Tensors = dict[str, Tensor]
"""Named tensors of one adapter, transfer or head, e.g. ``{"layer.0.down.weight": …}``."""


class Hook(Protocol):
    """What a backbone calls at its named sites, in every layer.

    Which sites there are, and what ``x`` and ``y`` are there, is the backbone family's to say. Families
    that have them name them alike:

    - ``"ffn"``: ``x = LN(f + a)``, ``y = f + a``; the layer's output becomes ``LN(f + a + u)``, so that
      with ``u = 0`` it is the plain layer;
    - ``"attention.out"``, ``"ffn.out"``: ``x = y`` = the sub-block's output after its dropout, before
      the residual and its LayerNorm;
    - ``"attention.query"``, ``"attention.key"``, ``"attention.value"``, ``"attention.dense"`` (which takes
      what the heads gathered), ``"ffn.up"``, ``"ffn.down"``: a linear map, ``x`` its input and
      ``y = W x + b`` before any activation or dropout;
    - ``"attention.context"``, ``"ffn.inner"``: ``x = y`` = the input of ``"attention.dense"``, and that of
      ``"ffn.down"``, which is behind the activation.

    What the hook returns is added onto ``y``.
    """

    @property
    def sites(self) -> frozenset[str]:
        """Where some lane adds something; a backbone calls nowhere else."""

    def __call__(self, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor | None:
        """Return what is added, (N, y's width), zeros on the rows of lanes without the site; or nothing."""


@dataclass(frozen=True)
class FrozenPool:
    """T frozen source adapters at one point, stacked so that all are one.

    The method's non-linear inner part maps (N, x's width) to (N, T·r); what remains is linear:
    ``u_t = up[t] h_t + bias[t]``.
    """

    inner: Mapping[str, Tensor]
    """The method's stacked inner weights; only the method reads them."""
    up: Tensor
    """Last, linear factors, (T, e, r)."""
    bias: Tensor
    """Their biases, (T, e); zeros for methods without one."""


class Joined:
    """What lets lanes be computed together: their layers' ``forward`` gets all of them at once.

    Where lanes' layers are alike, the engine calls ``forward`` of one layer with a leading axis of ``K`` lanes
    on everything: tensors (K, …), rows (K, R, …), the lanes' numbers in the place of a generator. Rows below a
    lane's own are zeros, and nobody reads what comes of them. Lanes' tensors may differ in one dimension, an
    inner width, where zeros at its end change no output. Code whose products are
    :func:`~adapterlab.train.packing.linear` and whose dimensions are counted from the right takes one lane as
    well as many. A layer that says nothing is called lane by lane.
    """

    @property
    def alike(self) -> Hashable | None:
        """Equal for layers that :meth:`together` can make one of; ``None``: for none."""
        return None

    def together(self, layers: Sequence[Any]) -> Self:
        """Return one layer that computes what the given ones do, itself among them; all are alike."""
        del layers
        return self


class MethodLayer(Joined, Checked, ABC):
    """Torch side of an adapter method: its settings on one backbone.

    An adapter attaches at points, (layer, site) pairs numbered layer by layer. Only a method whose last
    factor is linear can be stacked and combined; others leave ``stack``, ``inner`` and ``fold`` as they are.
    """

    page = "docs/extending/adapter_methods.md"

    reads: frozenset[str] = frozenset("xy")
    """Which of a site's ``x`` and ``y`` are read; the other comes as it lies, where lanes are together."""
    trains_backbone: bool = False
    """Whether a lane's tensors are the backbone's own weights, as in full fine-tuning."""

    def __init__(self, shape: BackboneShape, sites: Sequence[str]) -> None:
        """Bind a method to a backbone.

        Args:
            shape: The backbone's.
            sites: Where it attaches, in the order of its points.

        Raises:
            UsageError: The backbone has not one of the sites.
        """
        self.shape = shape
        self.sites: tuple[Site, ...] = tuple(shape.site(name) for name in sites)

    @property
    def points(self) -> list[tuple[str, int]]:
        """Site and layer of every point, in order."""
        return [(site.name, layer) for layer in range(self.shape.layers) for site in self.sites]

    @abstractmethod
    def initial(self, generator: torch.Generator) -> Tensors:
        """Return freshly initialised tensors of one adapter, all layers, float32."""

    @abstractmethod
    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the adapter's output ``u`` (before any residual): x (N, ·) and y (N, e) -> (N, e)."""

    def stack(self, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int) -> FrozenPool:
        """Stack T adapters' tensors at one point.

        Raises:
            UsageError: The method's adapters cannot be combined.
        """
        del pool, site, layer
        raise UsageError(
            f"adapters of {type(self).__name__} cannot be combined: their output has no linear last factor"
        )

    def adopt(self, tensors: Mapping[str, Tensor], settings: Any) -> Tensors:
        """Return an adapter with other settings than this layer's as this layer computes it.

        Args:
            tensors: The adapter's.
            settings: Its own, which the method's ``pooled`` put under this layer's.
        """
        del settings
        return dict(tensors)

    def inner(self, pool: FrozenPool, x: Tensor) -> Tensor:
        """Return the stacked inner activations, (N, x's width) -> (N, T·r)."""
        raise NotImplementedError(f"{type(self).__name__} stacks adapters, so it needs inner()")

    def fold(self, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int, omega: Tensor) -> Tensors:
        """Return one point of the adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, e or 1).

        Raises:
            UsageError: Combinations of the method's adapters are no single adapter.
        """
        del pool, site, layer, omega
        raise UsageError(
            f"combinations of {type(self).__name__} adapters cannot be folded into one: it has no fold()"
        )

    def products(self) -> tuple[tuple[str, str], ...]:
        """Return the names of tensors that act as products alone, ``first @ second``; none is allowed.

        For merges, which add adapters up entry by entry: of two factors each then takes the root of a weight, or the
        products themselves are added up. Every other tensor of an adapter acts by itself.

        Raises:
            UsageError: Sums of the method's tensors mean nothing, so that its adapters cannot be merged.
        """
        raise UsageError(
            f"adapters of {type(self).__name__} cannot be merged: sums of their parameters mean nothing",
            remedy="Combine their outputs instead, with scalearn or uniform_average.",
        )

    def lr_factor(self, name: str) -> float:
        """Return a tensor's learning rate over the lane's; 1 unless the method says otherwise."""
        del name
        return 1.0


class JointLayer(Checked, ABC):
    """Torch side of a joint method: its settings on one backbone, for some tasks.

    Of the tensors that a run trains it makes, once a batch, the adapter of the batch's task; what that computes
    is an ordinary method's to say. So evaluation, prediction and pools know joint runs as adapters.
    """

    page = "docs/extending/joint_methods.md"

    def __init__(self, method: MethodLayer, tasks: Sequence[str]) -> None:
        """Bind a joint method to a backbone and its tasks.

        Args:
            method: Of the adapters that it makes, on the backbone. If it trains the backbone, a run starts from
                that one's weights beside :meth:`initial`.
            tasks: Their full names, in the order of the run.

        Raises:
            UsageError: There are fewer than two tasks, or one stands there twice.
        """
        if len(tasks) < 2 or len(set(tasks)) < len(tasks):
            raise UsageError(
                f"joint training takes two tasks or more, each once; got {', '.join(tasks) or 'none'}",
                remedy="Name other tasks, or train the one task with an adapter method.",
            )
        self.method, self.tasks = method, tuple(tasks)

    @abstractmethod
    def initial(self, generator: torch.Generator) -> Tensors:
        """Return freshly initialised tensors of all tasks, float32, heads not among them."""

    @abstractmethod
    def adapter(self, tensors: Mapping[str, Tensor], task: str) -> Tensors:
        """Return a task's adapter, as :attr:`method` takes it; gradients flow to ``tensors``."""

    def lr_factor(self, name: str) -> float:
        """Return a tensor's learning rate over the run's; 1 unless the method says otherwise."""
        del name
        return 1.0


@dataclass(frozen=True)
class Coefficients:
    """Effective scaling coefficients of a combination, point by point; for storing, drawing and folding."""

    rows: tuple[Tensor, ...]
    """(T, e or 1) of each point, or one row that all points share."""

    @classmethod
    def of(cls, stacked: Tensor) -> Coefficients:
        """Return coefficients that lie in one tensor, (points or 1, T, e or 1)."""
        return cls(tuple(stacked))

    def at(self, point: int) -> Tensor:
        """Return a point's coefficients, (T, e or 1)."""
        return self.rows[point] if len(self.rows) > 1 else self.rows[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(points or 1, T, width); the width is the widest point's, 1 for one coefficient per source."""
        return len(self.rows), self.rows[0].shape[0], max(row.shape[1] for row in self.rows)

    @property
    def means(self) -> Tensor:
        """Each source's mean over a point's output dimensions, (points or 1, T)."""
        return torch.stack([row.mean(1) for row in self.rows])

    @property
    def largest(self) -> Tensor:
        """Each source's greatest absolute coefficient anywhere, (T,)."""
        return torch.stack([row.abs().amax(1) for row in self.rows]).amax(0)

    def named(self) -> Tensors:
        """Return them as tensors for a file: one where all points are equally wide, else one per point."""
        if len({row.shape for row in self.rows}) == 1:
            return {"coefficients": torch.stack(self.rows)}
        return {f"coefficients.{point}": row for point, row in enumerate(self.rows)}


class CombinerLayer(Joined, Checked, ABC):
    """Torch side of a combiner in one trial. It sees a :class:`FrozenPool` and nothing else of the method.

    Its settings, the pool's shape and the trial's value of each dimension are bound when it is made.
    """

    page = "docs/extending/combiners.md"

    reads: frozenset[str] = frozenset("x")
    """Whether the adapters' input ``x`` is read; if not, it comes as it lies where lanes are together."""
    averages: bool = False
    """Whether it makes one adapter of the pool's before training, by their parameters: see :meth:`merge`."""
    needs_context: bool = False
    """Whether :meth:`fixed` returns tensors, which are then decided before training."""

    def __init__(self, pool: PoolShape) -> None:
        self.pool = pool

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return freshly initialised trainable tensors, all points, float32; none unless it learns some."""
        del generator
        return {}

    @abstractmethod
    def forward(
        self,
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        generator: torch.Generator | Draws | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return ``Σ_t ω_t ⊙ u_t`` for one lane, (N_k, e).

        Args:
            tensors: The lane's own tensors and those that are fixed.
            point: Number of the point.
            pool: The point's frozen adapters.
            x: The lane's input to the adapters, (N_k, ·).
            h: The lane's slice of the inner activations, (N_k, T·r).
            generator: The lane's random numbers, for :func:`~adapterlab.train.rng.dropout`; ``None`` in
                evaluation.
            observe: Takes the coefficients of each token, (N_k, T); only where they differ by token.
        """

    @abstractmethod
    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the effective coefficients.

        Where coefficients differ from token to token: their means, which evaluation put under
        ``MEAN_COEFFICIENTS``.
        """

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return a term of the loss that does not depend on the rows, a scalar; ``None``: there is none."""
        del tensors
        return None

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""
        del name
        return True

    def fixed(self, context: PoolContext) -> Tensors:
        """Return tensors that are decided before training and kept beside the trained ones, float32.

        Raises:
            AdapterlabError: They cannot be made for this pool.
        """
        del context
        return {}

    def without(self, tensors: Mapping[str, Tensor], source: int) -> Mapping[str, Tensor]:
        """Return the tensors for a pool that one source has left; those that are not by source stay as they are.

        Asked for ``platform contributions``, of a combiner whose coefficients depend on the token.
        """
        del source
        return tensors

    def reduce(self, tensors: Mapping[str, Tensor], adapters: Sequence[Mapping[str, Tensor]]) -> Tensors:
        """Return the one adapter that an averaging combiner works on; ``tensors`` are the fixed ones.

        Enough for a mean, which asks nothing of the method; :meth:`merge` is told of the method too.
        """
        raise NotImplementedError(f"{type(self).__name__} averages, so it needs reduce() or merge()")

    def merge(
        self, tensors: Mapping[str, Tensor], adapters: Sequence[Mapping[str, Tensor]], method: MethodLayer
    ) -> Tensors:
        """Return the one adapter, of the same method, that an averaging combiner works on.

        Called again wherever a transfer is run or exported, so the same arguments must give the same adapter. It
        may depend on the trial's dimensions.

        Args:
            tensors: The fixed ones.
            adapters: The T adapters in coefficient order.
            method: Torch side of their method, which knows what a merge needs: :meth:`MethodLayer.products`.

        Raises:
            AdapterlabError: They cannot be merged.
        """
        del method
        return self.reduce(tensors, adapters)


class OneAdapterLayer(CombinerLayer):
    """A combiner that makes one adapter of the pool's before training, by weights that are decided then.

    A sub-class says which weights (:meth:`fixed`), and what becomes of the adapters (:meth:`reduce` or :meth:`merge`).
    """

    averages = True
    needs_context = True
    reads = frozenset[str]()

    @property
    def alike(self) -> Hashable:
        """All of one pool, which is one adapter."""
        return self.pool

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        generator: torch.Generator | Draws | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return the output of the one adapter, (N, r) -> (N, e)."""
        del tensors, point, x, generator, observe  # the weights are in the one adapter already
        return F.linear(h, pool.up[0], pool.bias[0])


MEAN_COEFFICIENTS = "mean_coefficients"
"""Name, among a transfer's tensors, of coefficients averaged over tokens, (points, T, 1)."""


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
    method: MethodLayer | None = None
    """Torch side of the adapters' method; ``None`` where the pool is not at hand."""
    adapters: Sequence[Tensors] = ()
    """The adapters' tensors, in coefficient order; none where they are not at hand."""
    few_rows: Callable[[Mapping[str, Tensor], int, int], tuple[Tensor, Tensor]] | None = None
    """From an adapter's tensors, a number of rows and a seed to the states that the target's head would read of random
    rows of its training split, (N, d), and what they should lead to, (N, C), float64: one column a class or label, or the
    number. ``None`` where they are not at hand."""


class HeadLayer(Joined, Checked, ABC):
    """Torch side of a head: for one task on one backbone.

    Shapes: ``B`` examples of ``K`` sequences each (``K`` is 1 but for multiple choice), ``C`` outputs.
    """

    page = "docs/extending/heads.md"

    def __init__(self, problem_type: ProblemType, reads: Reads = Reads.FIRST) -> None:
        """Bind a head to a kind of task.

        Args:
            problem_type: What the task's labels are.
            reads: Which states the head is given; what its light side says.
        """
        self.problem_type = problem_type
        self.reads = reads

    @abstractmethod
    def initial(self, generator: torch.Generator) -> Tensors:
        """Return fresh tensors, float32; every name begins with ``"head."``."""

    @abstractmethod
    def forward(
        self,
        tensors: Mapping[str, Tensor],
        states: Tensor,
        lengths: Tensor,
        *,
        dropout: float | Sequence[float],
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return outputs, (B·K, C).

        Args:
            tensors: The lane's tensors; only ``head.*`` are read.
            states: What the head reads: one row per sequence, (B·K, d); for a head that reads every token
                the real tokens' states one sequence after another, (Σ lengths, d).
            lengths: Real tokens of each sequence, (B·K,).
            dropout: Probability, in [0, 1); of lanes that are computed together each one's.
            generator: The lane's random numbers; ``None`` in evaluation.
        """

    def loss(self, outputs: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
        """Return the loss, see :func:`adapterlab.train.objectives.loss`."""
        return objectives.loss(self.problem_type, outputs, labels, reduction=reduction)


class Backbone(Checked, ABC):
    """A frozen backbone on one device, forward over a pass of many lanes."""

    page = "docs/extending/backbone_families.md"

    shape: BackboneShape
    dtype: torch.dtype
    device: torch.device

    @property
    @abstractmethod
    def max_length(self) -> int:
        """Longest row in tokens."""

    @property
    def words(self) -> int | None:
        """Token ids it has embeddings for, from 0; ``None``: not known, and not checked."""
        return None

    @property
    def types(self) -> int | None:
        """Token type ids it has embeddings for, from 0; ``None``: any may be given."""
        return None

    @abstractmethod
    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Backbone:
        """Return the same backbone in another precision or place."""

    @abstractmethod
    def forward(
        self,
        batch: Pass,
        hook: Hook | None = None,
        generators: Numbers | None = None,
        *,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states of every lane, packed, (N, d).

        Args:
            batch: The lanes' rectangles.
            hook: Gives what is added at the sites it names; ``None``: the plain backbone.
            generators: The lanes' numbers for the backbone's own dropout, a sequence of one generator a lane
                as well; ``None``: off.
            rows: Which token rows are wanted, one per sequence, (Σ B,), in their order; the result has these
                alone, and the hook may then be called with a row per sequence where the others are not
                needed. ``None``: all.
        """

    def weights(self) -> Tensors:
        """Return copies of all its tensors by their Hugging Face names, without a model prefix.

        Raises:
            UsageError: The family does not support training all of its weights.
        """
        raise UsageError(
            f"{type(self).__name__} does not hand out its weights, so they cannot be fine-tuned",
            remedy="Take another adapter method.",
        )

    def with_weights(self, weights: Mapping[str, Tensor]) -> Backbone:
        """Return this backbone with other tensors, through which gradients flow."""
        raise NotImplementedError(f"{type(self).__name__} hands out weights(), so it needs with_weights()")

    def rectangle(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Rectangle:
        """Return a batch as transformers' models take it, (B, S), with any mask; checked.

        Raises:
            UsageError: The family does not support calls with masks of one's own.
        """
        del input_ids, attention_mask, token_type_ids
        raise UsageError(f"{type(self).__name__} cannot be composed: it has no rectangle()")
