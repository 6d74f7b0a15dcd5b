"""The spec as frozen models: the one place where a knob, its default and its rule are written.

``platform schema`` derives the editor's JSON Schema from here, ``platform init`` its template's
comments, and ``docs/reference/spec.md`` is generated from the attribute docstrings.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from adapterlab.spec.space import Choices, FloatRange, Frozen, Space, bounds_of

SCHEMA_VERSION: Final = 1

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
TaskName = Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+$")]
TaskNames = Annotated[tuple[TaskName, ...], Field(strict=False, min_length=1, max_length=256)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(strict=False, min_length=1, max_length=100)
]
Positive = Annotated[int, Field(ge=1)]


def _no_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return values


class ExpectedShape(Frozen):
    """The backbone's shape, stated so that plans can count parameters before any download."""

    layers: Positive
    """Transformer layers."""
    hidden_size: Positive
    """Width of the residual stream."""


class BackboneSpec(Frozen):
    """The frozen pretrained model every adapter is trained on."""

    source: Annotated[str, Field(pattern=r"^(package|hub|folder):.+$")]
    """``package:<pip name>``, ``hub:<owner/name>`` or ``folder:<path relative to the spec>``."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit on the hub, 40 hexadecimal digits; required for ``hub:`` and refused otherwise."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Expected digest of ``model.safetensors``; a mismatch is an error."""
    expect: ExpectedShape | None = None
    """Expected shape; checked when the backbone's config is read."""

    @model_validator(mode="after")
    def _check_revision(self) -> BackboneSpec:
        if self.source.startswith("hub:") and self.revision is None:
            raise ValueError('a hub backbone needs revision = "<commit>", so that a key means one thing')
        if not self.source.startswith("hub:") and self.revision is not None:
            raise ValueError("revision is for hub backbones only")
        return self


class DataSpec(Frozen):
    """Where tasks come from and how they are tokenised."""

    root: str | None = None
    """Folder of real tasks, ``<root>/<benchmark>/<task>/{train,validation}.jsonl``; relative to the spec."""
    max_length: Annotated[int, Field(ge=8, le=8192)] = 128
    """Longest row in tokens, special tokens included; longer rows are cut, longest part first."""
    max_train_rows: Annotated[int, Field(ge=8)] | None = None
    """Train on the first so many rows of each task's shuffled train split; absent: on all of them."""


class PoolSpec(Frozen):
    """The source pool: what is taught first."""

    tasks: TaskNames
    """Source tasks, for example ``["glue/rte", "glue/mrpc"]``."""
    target: Literal["include", "exclude"] = "include"
    """Whether a target's own source adapter is in its pool (``include``, as in the paper) when listed."""

    _distinct = field_validator("tasks")(_no_duplicates)


class TargetsSpec(Frozen):
    """The target tasks: what is learned by combining."""

    tasks: TaskNames
    """Target tasks; each is one study per combiner."""

    _distinct = field_validator("tasks")(_no_duplicates)


class AdapterSpec(Frozen):
    """The adapter method of the source adapters."""

    method: str = "pfeiffer"
    """Name of an installed adapter method."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings, for example ``{ reduction_factor = 16 }``."""


class TrainingSpec(Frozen):
    """How one run trains; AdamW without weight decay, linear decay to 0 over ``max_epochs``."""

    max_epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Upper bound of epochs; also the length of the learning-rate schedule."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without improvement on validation before a run stops."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Rows a step."""
    select_by: Literal["loss", "metric"] = "loss"
    """The best epoch is the one with the least validation loss, or with the best metric."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """AdamW's decoupled weight decay."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the schedule with a rising rate."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients of a run are scaled down to this global norm."""
    backbone_dropout: bool = True
    """Keep the frozen backbone's own dropout on while training, as in the papers."""
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout inside the classification head."""


class SourceSpec(TrainingSpec):
    """Stage 1: training of the source adapters."""

    lr: Annotated[float, Field(gt=0, le=1)] = 3e-4
    """Peak learning rate."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of init, data order and dropout; one adapter a task, as in the paper."""


class TransferSpec(TrainingSpec):
    """Stage 2: training of a combination and its head on a target."""


class CombinerSpec(Frozen):
    """What mixes source adapters for a target."""

    kind: str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = "scalearn"
    """An installed combiner, or a list of them (one study each)."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The combiner's own settings."""

    @field_validator("kind")
    @classmethod
    def _check_kinds(cls, kind: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return kind if isinstance(kind, str) else _no_duplicates(kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The combiners as a tuple, however they were written."""
        return (self.kind,) if isinstance(self.kind, str) else self.kind


class SearchSpec(Frozen):
    """The search of one combiner's settings on one target; the objective is validation only."""

    trials: Annotated[int, Field(ge=1, le=100_000)] = 16
    """Settings tried per study; 1 when every dimension is fixed."""
    lr: Space = FloatRange(low=1e-3, high=2e-2, log=True)
    """Learning rate of coefficients and head."""
    init_scale: Space = 2.0
    """Coefficients start at N(init_scale / T, 0.001)."""
    dropout: Space = 0.3
    """Dropout on the coefficients, in [0, 1)."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How settings are proposed."""
    pruner: Literal["median", "none"] = "median"
    """Stop a trial early when its best value so far is below the median of the others."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler and of every trial's training."""

    @model_validator(mode="after")
    def _check_ranges(self) -> SearchSpec:
        if bounds_of(self.lr)[0] <= 0:
            raise ValueError(f"lr must be positive, got {bounds_of(self.lr)[0]}")
        low, high = bounds_of(self.dropout)
        if low < 0 or high >= 1:
            raise ValueError(f"dropout must lie in [0, 1), got {low} to {high}")
        if self.sampler == "grid" and any(
            isinstance(space, FloatRange) for space in (self.lr, self.init_scale, self.dropout)
        ):
            raise ValueError('sampler = "grid" needs choices or fixed values, not ranges')
        return self

    def spaces(self) -> dict[str, float | FloatRange | Choices]:
        """Return the three dimensions by name."""
        return {"lr": self.lr, "init_scale": self.init_scale, "dropout": self.dropout}


class FinalSpec(Frozen):
    """The final runs of the chosen setting; the only ones that see the test split."""

    seeds: Seeds = (0, 1, 2)
    """One transfer a seed; the table shows mean and standard deviation over them."""

    _distinct = field_validator("seeds")(_no_duplicates)


class ClusterSpec(Frozen):
    """Where workers run; none of it is part of a key."""

    address: str | None = None
    """A Ray cluster (``"auto"``, ``"host:6379"``); absent: a private one on this machine."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Workers side by side; absent: as many as the cluster has room for."""
    workers_per_study: Annotated[int, Field(ge=1, le=64)] = 1
    """Workers that share one study."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0
    """CPU cores of a worker."""
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of a worker; may be a fraction."""
    lanes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Training runs a worker trains in one pass; absent: chosen by the platform."""
    max_retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Times a worker that died is started again."""
    lease_s: Annotated[float, Field(ge=5, le=3600)] = 60.0
    """Seconds after which a claim whose owner went silent can be taken over."""


class TrackingSpec(Frozen):
    """Where runs are logged."""

    uri: str | None = None
    """MLflow tracking URI; absent: ``MLFLOW_TRACKING_URI``, else the store in the home folder."""
    experiment: str | None = None
    """MLflow experiment; absent: ``adapterlab/<name of the spec>``."""


class StoreSpec(Frozen):
    """Where the catalog, the weights and the studies are kept; absent: in the home folder."""

    catalog: str | None = None
    """Database URL of the catalog, ``sqlite:///…`` or ``postgresql+psycopg://…``."""
    blobs: str | None = None
    """Folder or fsspec URL of the weights."""
    studies: str | None = None
    """Database URL of the Optuna studies."""


class Spec(Frozen):
    """A whole sweep, as one readable page."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this format."""
    name: Name
    """Name of the sweep; letters, digits, ``.``, ``_``, ``-``."""
    backbone: BackboneSpec
    data: DataSpec = DataSpec()
    pool: PoolSpec
    targets: TargetsSpec
    adapter: AdapterSpec = AdapterSpec()
    source: SourceSpec = SourceSpec()
    combiner: CombinerSpec = CombinerSpec()
    search: SearchSpec = SearchSpec()
    transfer: TransferSpec = TransferSpec()
    final: FinalSpec = FinalSpec()
    cluster: ClusterSpec = ClusterSpec()
    tracking: TrackingSpec = TrackingSpec()
    store: StoreSpec = StoreSpec()

    @model_validator(mode="after")
    def _check_pools(self) -> Spec:
        only_source = self.pool.tasks[0] if len(self.pool.tasks) == 1 else None
        if self.pool.target == "exclude" and only_source in self.targets.tasks:
            raise ValueError(f'pool.target = "exclude" leaves an empty pool for {only_source}')
        return self

    def pool_for(self, target: str) -> tuple[str, ...]:
        """Return a target's source tasks in coefficient order: as listed, the target itself last."""
        others = tuple(task for task in self.pool.tasks if task != target)
        included = self.pool.target == "include" and target in self.pool.tasks
        return (*others, target) if included else others
