"""The spec as frozen models: the one place where a knob, its default and its rule are written.

``platform schema`` derives the editor's JSON Schema from here, ``platform init`` its template's
comments, and ``docs/reference/spec.md`` is generated from the attribute docstrings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from adapterlab.passwords import has_password
from adapterlab.spec.joint import JointSpec
from adapterlab.spec.placement import RuntimeEnvSpec, check_labels, check_resources
from adapterlab.spec.pruning import Pruner, PruningSpec, check_pruning, check_runs
from adapterlab.spec.ranges import RateSpace, searched
from adapterlab.spec.search_space import Choices, FloatRange, Frozen, Space, bounds_of
from adapterlab.spec.selection import MEASURED, Rule, SelectionSpec
from adapterlab.spec.tasks import DataSpec, TaskSpec
from adapterlab.spec.training import (
    FewShotSpec,
    PerSourceSpec,
    PerTaskSpec,
    Seeds,
    SourceSpec,
    TrainingOverrides,
    TransferSpec,
    no_duplicates,
)

SCHEMA_VERSION: Final = 1

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
TaskName = Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+$")]
TaskNames = Annotated[tuple[TaskName, ...], Field(strict=False, min_length=1, max_length=256)]
Positive = Annotated[int, Field(ge=1)]


class ExpectedShape(Frozen):
    """The backbone's shape, stated so that plans can count parameters before any download."""

    layers: Positive
    """Transformer layers."""
    hidden_size: Positive
    """Width of the residual stream."""
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] | None = None
    """``model_type`` of its config, for example ``"roberta"``: its family says what the numbers mean. Without
    it nothing is counted before the download."""
    embedding_rows: Positive | None = None
    """Rows of all embedding tables together, words, positions and token types: 50780 for roberta-base. With
    it plans know the size of the whole backbone as well."""


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
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the frozen weights and the activations; what is trained always has 32 bits. ``bfloat16`` takes
    half the time on a CPU that multiplies it twice as fast; its rounding shows in results."""

    @model_validator(mode="after")
    def _check_revision(self) -> BackboneSpec:
        if self.source.startswith("hub:") and self.revision is None:
            raise ValueError('a hub backbone needs revision = "<commit>", so that a key means one thing')
        if not self.source.startswith("hub:") and self.revision is not None:
            raise ValueError("revision is for hub backbones only")
        return self


class PoolAdapterSpec(Frozen):
    """A source adapter that exists already, so that nothing is trained for it."""

    source: Annotated[
        str, Field(pattern=r"^(folder:.+|hub:[\w.-]+/[\w.-]+@[0-9a-f]{40}|catalog:[0-9a-f]{4,64})$")
    ]
    """``folder:<path relative to the spec>`` or ``hub:<owner/name>@<commit>``, in AdapterHub's or PEFT's format, or
    ``catalog:<key>``. Its content is in keys, never its place."""
    task: TaskName | None = None
    """Its task; absent: what the catalog or the folder says, else the folder's name."""
    name: Name | None = None
    """What it is called in reports; absent: its task."""


class PoolQuerySpec(Frozen):
    """Source adapters taken from the catalog by what is known of them, one a task.

    They are on the sweep's backbone. Tasks that stand in ``pool.tasks``, or that a ``[[pool.adapter]]`` names as its
    own, are left out. Asked anew by every plan: what is found is in the keys.
    """

    tasks: TaskNames | None = None
    """Tasks to look for; absent: all."""
    method: str | None = None
    """Adapter method; absent: that of ``[adapter]``."""
    metric: str | None = None
    """Metric on validation to compare by; absent: each adapter's leading one."""
    min_value: float | None = None
    """Least value of the metric, inclusive."""
    reported: bool = False
    """Compare by what the cards of imported adapters report, instead of what was measured; needs ``metric``."""
    tag: str | None = None
    """A tag they have, given by `platform catalog tag`; ``*`` and ``?`` stand for any characters."""
    pick: Literal["newest", "best"] = "newest"
    """Which of several adapters of one task."""


T = TypeVar("T")


class PoolSpec(Frozen):
    """The source pool: what is taught first, and what exists already."""

    tasks: Annotated[tuple[TaskName, ...], Field(strict=False, max_length=256)] = ()
    """Source tasks to train an adapter for, for example ``["glue/rte", "glue/mrpc"]``."""
    adapter: Annotated[tuple[PoolAdapterSpec, ...], Field(strict=False, max_length=256)] = ()
    """Adapters that exist already, one ``[[pool.adapter]]`` each."""
    query: PoolQuerySpec | None = None
    """Adapters to take from the catalog, as ``[pool.query]``."""
    target: Literal["include", "exclude"] = "include"
    """Whether a target's own source adapter is in its pool (``include``, as in the paper) when listed."""
    size: (
        Annotated[int, Field(ge=1)] | Annotated[tuple[int, ...], Field(strict=False, min_length=1)] | None
    ) = None
    """How many sources a target combines, its own counted; absent: all. A list makes every combiner a row for each
    size, ``size = [1, 2, 4, 8]``."""
    rule: Rule | Annotated[tuple[Rule, ...], Field(strict=False, min_length=1)] = "order"
    """Which sources are taken besides the target's own: the first ones listed (``order``); ``random`` ones of each
    target; those whose training texts the backbone embeds most like the target's (``text_similarity``), or whose
    adapters' weights are most like those of the target's own (``adapter_similarity``), by cosine; or, one after
    another, the one that improves the combiner's validation metric most (``forward_selection``). Those of a size are
    among those of every greater one. A list makes every combiner a row for each rule."""
    selection: SelectionSpec = SelectionSpec()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of random ones."""
    training: Name | Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] = "single"
    """How the adapters of ``tasks`` are trained: ``single``, each by itself; or together, by a ``[[joint.run]]`` of
    that name whose tasks have an adapter each: what they have of its first seed. A list makes every combiner a row for
    each, ``training = ["single", "mt_a"]``."""

    _distinct = field_validator("tasks")(no_duplicates)

    @field_validator("size")
    @classmethod
    def _check_size(cls, size: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
        if isinstance(size, tuple):
            no_duplicates(size)
            if min(size) < 1:
                raise ValueError(f"a pool has at least 1 source, got {min(size)}")
        return size

    @field_validator("rule")
    @classmethod
    def _check_rule(cls, rule: Rule | tuple[Rule, ...]) -> Rule | tuple[Rule, ...]:
        return no_duplicates(rule) if isinstance(rule, tuple) else rule

    @field_validator("training")
    @classmethod
    def _check_training(cls, training: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return no_duplicates(training) if isinstance(training, tuple) else training

    @model_validator(mode="after")
    def _check_sources(self) -> PoolSpec:
        if not self.tasks and not self.has_existing:
            raise ValueError("the pool is empty: list tasks, or adapters that exist as [[pool.adapter]]")
        no_duplicates(tuple(one.source for one in self.adapter))
        no_duplicates(tuple(one.name for one in self.adapter if one.name is not None))
        return self

    @property
    def has_existing(self) -> bool:
        """Whether it takes adapters that exist already."""
        return bool(self.adapter) or self.query is not None

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Every size of a pool; ``None``: all there are."""
        return self.size if isinstance(self.size, tuple) else (self.size,)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule that selects sources."""
        return self.rule if isinstance(self.rule, tuple) else (self.rule,)

    @property
    def trainings(self) -> tuple[str, ...]:
        """Every way its adapters are trained: ``"single"``, and names of joint runs."""
        return self.training if isinstance(self.training, tuple) else (self.training,)

    def chosen(
        self, target: str, others: Sequence[T], own: int, size: int | None, rule: str = "order"
    ) -> list[T]:
        """Return the sources that a pool of a size may take besides a target's own, in the order given.

        Args:
            target: The target; random choices differ from target to target.
            others: All there are, in their order.
            own: How many of the target's own there are; they are taken first.
            size: Of the whole pool; ``None``: all.
            rule: Which ones are taken; of a rule that measures all of them may be.

        Raises:
            ValueError: There are not so many.
        """
        if size is None:
            return list(others)
        if not own <= size <= len(others) + own:
            have = f"has {len(others) + own}" if size > own else f"has {own} of its own"
            raise ValueError(f"a pool of {size} for {target}, which {have}")
        if rule in MEASURED and size > own:
            return list(others)
        order = list(range(len(others)))
        if rule == "random":  # by digests, which no version of Python draws otherwise
            order.sort(key=lambda place: sha256(f"{self.seed} {target} {place}".encode()).digest())
        taken = sorted(order[: size - own])
        return [others[place] for place in taken]


class TargetsSpec(Frozen):
    """The target tasks: what is learned by combining."""

    tasks: TaskNames
    """Target tasks; each is one study per combiner."""

    _distinct = field_validator("tasks")(no_duplicates)


class AdapterSpec(Frozen):
    """The adapter method of the source adapters."""

    method: str = "pfeiffer"
    """Name of an installed adapter method."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings, for example ``{ reduction_factor = 16 }``."""


class PerKindSpec(Frozen):
    """What one combiner has of its own; everything else it shares with the others."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, put over ``[combiner.settings]``."""
    search: dict[str, Space] = Field(default_factory=dict)
    """Its own dimensions (``lr``, ``init_scale``, ``dropout``), instead of those under ``[search]``."""
    transfer: TrainingOverrides = TrainingOverrides()
    """Keys of ``[transfer]`` that differ for it."""

    @model_validator(mode="after")
    def _check_search(self) -> PerKindSpec:
        check_dimensions(self.search)
        return self


AUTO: Final = "auto"
"""Kind that lets the search choose the combiner."""


class CombinerSpec(Frozen):
    """What mixes source adapters for a target."""

    kind: str | Annotated[tuple[str, ...], Field(strict=False)] = "scalearn"
    """An installed combiner, or a list of them (one study each); of an empty list there are none, only the
    pool and baselines are trained. ``"auto"`` is one study that chooses the
    combiner as well, among those of ``among``: each is tried with its own dimensions, all of them once
    before any is tried twice, and the best trial's combiner trains the final runs."""
    among: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """The combiners ``kind = "auto"`` chooses among."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The combiner's own settings; of a list those of every one."""
    per_kind: dict[str, PerKindSpec] = Field(default_factory=dict)
    """What single combiners of a list have of their own, as ``[combiner.per_kind.<kind>]`` with the tables
    ``settings``, ``search`` (dimensions) and ``transfer`` (keys of ``[transfer]``)."""

    @field_validator("kind")
    @classmethod
    def _check_kinds(cls, kind: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return kind if isinstance(kind, str) else no_duplicates(kind)

    _distinct = field_validator("among")(no_duplicates)

    @model_validator(mode="after")
    def _check_among(self) -> CombinerSpec:
        if AUTO in self.kinds and not self.among:
            raise ValueError('kind = "auto" needs among = [the combiners to choose among]')
        if self.among and AUTO not in self.kinds:
            raise ValueError('among is for kind = "auto" only')
        if AUTO in self.among:
            raise ValueError("among cannot hold auto itself")
        strangers = [name for name in self.per_kind if name not in self.named]
        if strangers:
            raise ValueError(f"per_kind: {', '.join(strangers)} is none of this spec's combiners")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The combiners as a tuple, however they were written; ``"auto"`` as it is."""
        return (self.kind,) if isinstance(self.kind, str) else self.kind

    @property
    def named(self) -> tuple[str, ...]:
        """Every installed combiner the spec uses, each once."""
        return tuple(dict.fromkeys((*(kind for kind in self.kinds if kind != AUTO), *self.among)))


DIMENSIONS: Final = ("lr", "init_scale", "dropout", "head_lr", "source_head", "target_share", "l1")
"""The search dimensions that have a key under ``[search]``; others stand under ``[combiner.per_kind]``."""

StartName = Annotated[str, Field(min_length=1, max_length=100)]
StartSetting = Annotated[dict[str, float | str], Field(min_length=1)]


class SearchSpec(Frozen):
    """The search of one combiner's settings on one target; the objective is validation only."""

    trials: Annotated[int, Field(ge=1, le=100_000)] = 16
    """Settings tried per study; 1 when every dimension is fixed."""
    budget_minutes: Annotated[float, Field(gt=0, le=525_600)] | None = None
    """Minutes by the clock that a study's trials may take, over all its submits; then none begins any more, those in
    training end, and the best of them is chosen, as with ``trials`` set to their number. How many that is depends on
    the machine, and stays as it was when the study ended. Absent: no limit."""
    lr: Space | None = None
    """Learning rate of coefficients and head; absent: each combiner's own, ``{ low = 1e-3, high = 2e-2, log
    = true }`` for ScaLearn, 5e-5 for AdapterFusion, 3e-4 where only the head is trained. What is written
    here holds for every combiner that ``[combiner.per_kind]`` gives nothing else."""
    init_scale: Space | None = None
    """Coefficients start at N(init_scale / T, 0.001); absent: 2.0. Of combiners without it no part."""
    dropout: Space | None = None
    """Dropout in [0, 1) on coefficients, or on AdapterFusion's scores; absent: each combiner's own, 0.3 for
    ScaLearn, 0.1 for AdapterFusion. Of combiners without it no part."""
    head_lr: Space | None = None
    """Learning rate of the head, > 0; absent: ``lr``."""
    source_head: Space | None = None
    """How far the head starts at the one that the target's own source adapter was trained with: 0 fresh, 1 that
    head, between them their mixture. Needs the target in its pool. Absent: 0, as in the papers."""
    target_share: Space | None = None
    """How far coefficients start at the target's own source: 0 all alike at ``init_scale`` / T, 1 that source's at 1
    and the others' at 0. Needs the target in its pool. Absent: 0, as in the papers. Of combiners without it no part."""
    l1: Space | None = None
    """Weight of a loss term, the sum over sources of the mean absolute coefficient, that presses those of
    sources that do not help towards 0; absent: 0. Of combiners without it no part."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How settings are proposed."""
    pruner: Pruner = "median"
    """When a trial is stopped early: its best value so far is below the ``median`` of the others, or not among the
    best quarter (``percentile``); it is not among the best of its rung (``asha``, successive halving); it stays below
    its own best (``patience``); it is below a fixed value (``threshold``); run by run it is worse than the best trial
    with the same seeds and folds (``wilcoxon``); ``none``: never."""
    pruning: PruningSpec = PruningSpec()
    start_from: (
        StartName
        | StartSetting
        | Annotated[tuple[StartName | StartSetting, ...], Field(strict=False, max_length=64)]
    ) = ()
    """What the first trials are: a setting, ``{ lr = 3e-3, dropout = 0.1 }``, of one combiner with ``combiner =
    "scalearn"`` in it, what it leaves out is proposed as usual; or an earlier sweep or study, by name or key: the best
    setting of its studies of the same combiner, where there is one that of the same target. Or a list of these. In
    keys are the settings, not whose they were."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler and of every trial's training."""
    seeds_per_trial: Annotated[int, Field(ge=1, le=32)] = 1
    """Runs of each trial, with ``seed`` and those after it; their mean is the trial's value. A small validation split
    then chooses less by chance."""
    folds: Annotated[int, Field(ge=1, le=20)] = 1
    """Parts of the training rows; of more than one each validates a run that trains on the others, and the mean over
    them is a trial's value. The validation split then has no part in the search. With ``seeds_per_trial`` every fold
    has a run of each seed."""

    @property
    def starts(self) -> tuple[str | dict[str, float | str], ...]:
        """The settings, names and keys of ``start_from`` as a tuple, however they were written."""
        return self.start_from if isinstance(self.start_from, tuple) else (self.start_from,)

    @model_validator(mode="after")
    def _check_ranges(self) -> SearchSpec:
        check_dimensions(self.spaces())
        check_pruning(self.pruner, self.pruning)
        check_runs(self.pruner, self.pruning, self.seeds_per_trial * self.folds)
        if self.sampler == "grid" and any(isinstance(space, FloatRange) for space in self.spaces().values()):
            raise ValueError('sampler = "grid" needs choices or fixed values, not ranges')
        return self

    def spaces(self) -> dict[str, float | FloatRange | Choices]:
        """Return the dimensions that are written, by name."""
        written: dict[str, float | FloatRange | Choices | None] = {
            name: getattr(self, name) for name in DIMENSIONS
        }
        return {name: space for name, space in written.items() if space is not None}


def check_dimensions(spaces: Mapping[str, float | FloatRange | Choices]) -> None:
    """Check that dimensions take values that make sense.

    Raises:
        ValueError: One does not.
    """
    for name in ("lr", "head_lr"):
        if name in spaces and bounds_of(spaces[name])[0] <= 0:
            raise ValueError(f"{name} must be positive, got {bounds_of(spaces[name])[0]}")
    for name in ("source_head", "target_share"):
        low, high = bounds_of(spaces[name]) if name in spaces else (0, 1)
        if low < 0 or high > 1:
            raise ValueError(f"{name} must lie in [0, 1], got {low} to {high}")
    if "l1" in spaces and bounds_of(spaces["l1"])[0] < 0:
        raise ValueError(f"l1 must not be negative, got {bounds_of(spaces['l1'])[0]}")
    if "dropout" in spaces:
        low, high = bounds_of(spaces["dropout"])
        if low < 0 or high >= 1:
            raise ValueError(f"dropout must lie in [0, 1), got {low} to {high}")


class FinalSpec(Frozen):
    """The final runs of the chosen setting; the only ones that see the test split."""

    seeds: Seeds = (0, 1, 2)
    """One transfer a seed; the table shows mean and standard deviation over them."""

    _distinct = field_validator("seeds")(no_duplicates)


class BaselineSpec(TrainingOverrides):
    """A method every target is trained with on its own, as a row to compare combinations with.

    Trains as ``[source]`` says, but for the method's own training (``lr`` and what else its paper has)
    and for what is written here.
    """

    method: str
    """Name of an installed adapter method."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings."""
    name: Name | None = None
    """Name of the row; absent: the method's."""
    lr: RateSpace | None = None
    """Peak learning rate; absent: the method's own, else that of ``[source]``."""
    seeds: Seeds | None = None
    """One run a seed; absent: those of ``[final]``."""

    _distinct = field_validator("seeds")(lambda seeds: seeds and no_duplicates(seeds))

    @property
    def label(self) -> str:
        """The row's name."""
        return self.name or self.method


class ReportSpec(Frozen):
    """What a sweep's report says beside its scores; options of ``platform report`` come before it.

    None of it is part of a key: after a change, submit again, and nothing is trained.
    """

    against: Annotated[str, Field(min_length=1)] | None = None
    """Row that every other one is compared with: a baseline's name, a combiner's, or ``"own adapter"``. Absent: none."""
    equal_within: Annotated[float, Field(gt=0, le=100)] | None = None
    """Points (per cent of a metric) up to which a row and ``against`` are practically equal; absent: how probable that
    is, is not told."""
    bootstrap: Annotated[int, Field(ge=100, le=1_000_000)] | None = None
    """Bootstrap samples behind 95 % intervals over test rows and seeds; absent: there are none."""
    digits: Annotated[int, Field(ge=0, le=4)] = 1
    """Decimals of scores in per cent."""

    @model_validator(mode="after")
    def _check_bound(self) -> ReportSpec:
        if self.equal_within is not None and self.against is None:
            raise ValueError("equal_within is a distance to a row; name it: against")
        return self


class ClusterSpec(Frozen):
    """Where workers run; none of it is part of a key."""

    launcher: Literal["ray", "in_process"] = "ray"
    """What starts workers: Ray; or none is started, and the submitting process does one thing after another."""
    address: str | None = None
    """A Ray cluster (``"auto"``, ``"host:6379"``); absent: a private one on this machine."""
    workers: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Workers side by side; absent: as many as there is room for when the sweep starts."""
    workers_per_study: Annotated[int, Field(ge=1, le=64)] = 1
    """Workers that share one study."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0
    """CPU cores of a worker."""
    gpus_per_worker: Annotated[float, Field(ge=0)] | None = None
    """GPUs of a worker; may be a fraction, so that several share a card. ``0``: the CPU. Absent: a whole one
    where there are any, else the CPU."""
    resources: dict[str, float] = Field(default_factory=dict)
    """What else of its node a worker is given, by Ray's name of the resource: ``{ highmem = 1 }``."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What a worker's node must be labelled with: ``{ "ray.io/accelerator-type" = "H100" }``; also ``"!A10G"``,
    ``"in(A100, H100)"`` and ``"!in(A10G, T4)"``."""
    lanes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Training runs a worker trains in one pass; absent: as many as make it faster, found while training."""
    max_retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Times a worker that died is started again."""
    step_timeout_s: Annotated[float, Field(ge=1)] | None = None
    """Seconds that one training run (a source adapter, a trial or a final run) may take a worker, by the clock and
    from reading its data to keeping its result, before that worker is killed, as one that hangs; counts as a death.
    Waiting for other steps does not count, loading the backbone counts as a run of its own. Absent: no limit."""
    lease_s: Annotated[float, Field(ge=5, le=3600)] = 60.0
    """Seconds after which a claim whose owner went silent can be taken over."""
    max_hours: Annotated[float, Field(gt=0)] | None = None
    """Device-hours the sweep may take, over all its submits: workers at work × hours, each worth its GPUs where it
    has any, so that half a card counts half. Then it stops after the epochs in progress, with exit code 7 and what
    is done so far; submitting it with more goes on. Absent: no limit."""
    runtime_env: RuntimeEnvSpec = RuntimeEnvSpec()

    _resources = field_validator("resources")(check_resources)
    _labels = field_validator("labels")(check_labels)

    @model_validator(mode="after")
    def _check_launcher(self) -> ClusterSpec:
        if self.launcher == "in_process" and self.address is not None:
            raise ValueError('launcher = "in_process" starts no workers on a cluster; leave out address')
        if self.launcher == "in_process" and self.step_timeout_s is not None:
            raise ValueError('launcher = "in_process" has no worker it could kill; leave out step_timeout_s')
        if self.address is None and self.runtime_env != RuntimeEnvSpec():
            raise ValueError(
                "runtime_env is what a cluster prepares on its nodes, so it needs address; without one, workers have "
                "the environment of the process that submits"
            )
        return self


_KEPT_ELSEWHERE = "keep the password in ~/.pgpass, or the whole URL in"
_BETTER_PLACES = {
    "catalog": f"{_KEPT_ELSEWHERE} ADAPTERLAB_CATALOG",
    "studies": f"{_KEPT_ELSEWHERE} ADAPTERLAB_STUDIES",
    "blobs": "let the store's own variables or files hold it, or keep the whole URL in ADAPTERLAB_BLOBS",
    "uri": "keep it in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole URL in MLFLOW_TRACKING_URI",
}


def _no_password(url: str | None, info: ValidationInfo) -> str | None:
    """Refuse a URL with a password: a spec is kept with every result, and shown.

    Raises:
        ValueError: It has one.
    """
    if url is not None and has_password(url):
        raise ValueError(
            f"a spec is kept with its results, so it must hold no password; {_BETTER_PLACES[str(info.field_name)]}"
        )
    return url


class TrackingSpec(Frozen):
    """Where runs are logged."""

    uri: str | None = None
    """MLflow tracking URI; absent: ``MLFLOW_TRACKING_URI``, else the store in the home folder."""
    experiment: str | None = None
    """MLflow experiment; absent: ``adapterlab/<name of the spec>``."""

    _no_password = field_validator("uri")(_no_password)


class StoreSpec(Frozen):
    """Where the catalog, the weights and the studies are kept; absent: in the home folder."""

    catalog: str | None = None
    """Database URL of the catalog, ``sqlite:///…`` or ``postgresql+psycopg://…``."""
    blobs: str | None = None
    """Folder or fsspec URL of the weights."""
    studies: str | None = None
    """Database URL of the Optuna studies."""

    _no_password = field_validator("catalog", "blobs", "studies")(_no_password)


class Spec(Frozen):
    """A whole sweep, as one readable page."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this format."""
    extends: Annotated[str | None, Field(exclude=True)] = None
    """A spec that this one extends, relative to it; it may extend another. What is written here wins: tables are
    merged, lists, ``[[tables]]`` and search dimensions are replaced whole."""
    name: Name
    """Name of the sweep; letters, digits, ``.``, ``_``, ``-``."""
    backbone: BackboneSpec
    data: DataSpec = DataSpec()
    task: Annotated[tuple[TaskSpec, ...], Field(strict=False, max_length=256)] = ()
    """Tasks of your own, one ``[[task]]`` each."""
    pool: PoolSpec
    targets: TargetsSpec
    adapter: AdapterSpec = AdapterSpec()
    source: SourceSpec = SourceSpec()
    combiner: CombinerSpec = CombinerSpec()
    search: SearchSpec = SearchSpec()
    transfer: TransferSpec = TransferSpec()
    few_shot: FewShotSpec = FewShotSpec()
    final: FinalSpec = FinalSpec()
    per_source: dict[TaskName, PerSourceSpec] = Field(default_factory=dict)
    """What the pool's adapters of single tasks have of their own, as ``[per_source."glue/rte"]``: ``max_train_rows`` and
    keys of ``[source]``, so that sources are of uneven quality. Baselines and combinations on these tasks train as without it."""
    per_task: dict[TaskName, PerTaskSpec] = Field(default_factory=dict)
    """What single tasks have of their own, as ``[per_task."superglue/record"]``: ``seeds`` and keys of
    ``[source]`` and ``[transfer]`` that both have."""
    baseline: Annotated[tuple[BaselineSpec, ...], Field(strict=False, max_length=64)] = ()
    """Methods every target is trained with on its own."""
    joint: JointSpec = JointSpec()
    report: ReportSpec = ReportSpec()
    cluster: ClusterSpec = ClusterSpec()
    tracking: TrackingSpec = TrackingSpec()
    store: StoreSpec = StoreSpec()

    @field_validator("task")
    @classmethod
    def _distinct_names(cls, tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
        no_duplicates(tuple(task.name for task in tasks))
        return tasks

    @model_validator(mode="after")
    def _check_pools(self) -> Spec:
        alone = len(self.pool.tasks) == 1 and not self.pool.has_existing
        only_source = self.pool.tasks[0] if alone else None
        if self.pool.target == "exclude" and only_source in self.targets.tasks:
            raise ValueError(f'pool.target = "exclude" leaves an empty pool for {only_source}')
        return self

    @model_validator(mode="after")
    def _check_baselines(self) -> Spec:
        labels = [one.label for one in self.baseline]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"baselines named alike: {', '.join(twice)}; give each a name of its own")
        if "source" in labels:
            raise ValueError(
                'no baseline can be named "source", which is what the pool\'s adapters are called'
            )
        return self

    @model_validator(mode="after")
    def _check_few_shot(self) -> Spec:
        if not self.data.trains_few_rows and self.few_shot != FewShotSpec():
            raise ValueError("few_shot needs data.few_shot, the number of rows")
        return self

    @model_validator(mode="after")
    def _check_folds(self) -> Spec:
        limits = (*self.data.few_rows, self.data.max_train_rows)
        rows = min((one for one in limits if one is not None), default=None)
        if self.search.folds > 1 and rows is not None and rows < 2 * self.search.folds:
            raise ValueError(
                f"search.folds: {self.search.folds} folds of {rows} training rows have fewer than two rows each; "
                "take fewer folds, or seeds_per_trial"
            )
        return self

    @model_validator(mode="after")
    def _check_steps(self) -> Spec:
        """Refuse what nobody could count: steps are turned into epochs before anything is searched."""
        if self.few_shot.max_steps is None:
            return self
        sections = {"few_shot": self.few_shot, "source": self.source, "transfer": self.transfer}
        sections |= {f"per_task.{name}": one for name, one in self.per_task.items()}
        for name, section in sections.items():
            if "batch_size" in searched(section):
                raise ValueError(
                    f"few_shot.max_steps needs one batch_size, and {name}.batch_size is searched; bound max_epochs instead"
                )
        return self

    def of_task(self, task: str) -> Spec:
        """Return the spec as runs on one task see it: with what ``[per_task]`` says of it."""
        own = self.per_task.get(task)
        if own is None:
            return self
        final = self.final if own.seeds is None else FinalSpec(seeds=own.seeds)
        trained = {"source": own.over(self.source), "transfer": own.over(self.transfer)}
        return self.model_copy(update={**trained, "final": final})

    def pool_for(self, target: str) -> tuple[str, ...]:
        """Return a target's source tasks in coefficient order: as listed, the target itself last.

        Those that are trained, before ``pool.size`` leaves any out.
        """
        others = tuple(task for task in self.pool.tasks if task != target)
        included = self.pool.target == "include" and target in self.pool.tasks
        return (*others, target) if included else others
