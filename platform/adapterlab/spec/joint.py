"""Joint training in a spec: runs that train one model on several tasks, and how they train."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from adapterlab.spec.ranges import (
    BatchSizeSpace,
    GradNormSpace,
    HeadDropoutSpace,
    RateSpace,
    Steps,
    StepsSpace,
    TemperatureSpace,
    WarmupRatioSpace,
    WeightDecaySpace,
)
from adapterlab.spec.search_space import Frozen
from adapterlab.spec.training import Seeds, no_duplicates

SINGLE = "single"
"""What ``pool.training`` calls adapters that are trained each by itself."""

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_Task = Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+$")]
_Tasks = Annotated[tuple[_Task, ...], Field(strict=False, max_length=256)]
_Patience = Annotated[int, Field(ge=1)]
_Caps = dict[_Task, Annotated[int, Field(ge=1)]]
_Seed = Annotated[int, Field(ge=0, lt=2**31)]


class JointOverrides(Frozen):
    """Keys of ``[joint]`` that are written here replace those; the others keep their values."""

    steps: StepsSpace | None = None
    """As in ``[joint]``."""
    evaluate_every: Steps | None = None
    """As in ``[joint]``."""
    patience: _Patience | None = None
    """As in ``[joint]``."""
    batch_size: BatchSizeSpace | None = None
    """As in ``[joint]``."""
    temperature: TemperatureSpace | None = None
    """As in ``[joint]``."""
    caps: _Caps | None = None
    """As in ``[joint]``."""
    capped_rows: Literal["any", "first"] | None = None
    """As in ``[joint]``."""
    sampler_seed: _Seed | None = None
    """As in ``[joint]``."""
    select_by: Literal["loss", "metric"] | None = None
    """As in ``[joint]``."""
    unselected: _Tasks | None = None
    """As in ``[joint]``."""
    weight_decay: WeightDecaySpace | None = None
    """As in ``[joint]``."""
    warmup_ratio: WarmupRatioSpace | None = None
    """As in ``[joint]``."""
    max_grad_norm: GradNormSpace | None = None
    """As in ``[joint]``."""
    backbone_dropout: bool | None = None
    """As in ``[joint]``."""
    head_dropout: HeadDropoutSpace | None = None
    """As in ``[joint]``."""


class JointRunSpec(JointOverrides):
    """One model that trains on several tasks at once, with a head for each; what a target has of it is a row."""

    method: str
    """Name of an installed joint method, for example ``"hyperformer_pp"``."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings."""
    name: _Name | None = None
    """Name of the row; absent: the method's."""
    tasks: Annotated[tuple[_Task, ...], Field(strict=False, min_length=2, max_length=256)] | None = None
    """Tasks it trains on, of the targets and the pool, two or more; absent: all targets. Their order tells runs apart."""
    lr: RateSpace | None = None
    """Peak learning rate; absent: the method's own, else 3e-4."""
    seeds: Seeds | None = None
    """One run a seed; absent: those of ``[joint]``."""

    _distinct = field_validator("tasks", "seeds")(lambda values: values and no_duplicates(values))

    @property
    def label(self) -> str:
        """The row's name."""
        return self.name or self.method


class JointSpec(Frozen):
    """Joint training: how the runs of ``[[joint.run]]`` train. Every step sees a batch of one task, drawn by its size.

    The defaults are what the papers mean. Their official code has ``temperature = 1``, ``sampler_seed = 0``,
    ``capped_rows = "first"`` and ``unselected = ["superglue/record"]``.
    """

    steps: StepsSpace = 375_000
    """Upper bound of batches; also the length of the learning-rate schedule."""
    evaluate_every: Steps = 7_500
    """Steps between two evaluations of all tasks; a run that was killed goes on from its last one."""
    patience: _Patience = 10
    """Evaluations without improvement before a run stops."""
    batch_size: BatchSizeSpace = 32
    """Rows a step, all of one task."""
    temperature: TemperatureSpace = 10.0
    """A task of ``n`` of all ``N`` rows is drawn with ``p ∝ (n / N)^(1 / temperature)``: 1 by size, more is more even."""
    caps: _Caps = Field(default_factory=dict)
    """Rows that tasks count as at most, ``{ "superglue/record" = 100730 }``; a run that has not the task passes it over."""
    capped_rows: Literal["any", "first"] = "any"
    """Which rows of a capped task are drawn: any, or the first ones up to its cap alone."""
    sampler_seed: _Seed | None = None
    """Seed of the batches; absent: the run's own."""
    select_by: Literal["loss", "metric"] = "loss"
    """The best evaluation is the one with the least mean validation loss over tasks, or with the greatest mean of
    their leading metrics. A regression's loss is in its labels' units and weighs accordingly."""
    unselected: _Tasks = ()
    """Tasks that have no part in that mean; a run that has not the task passes it over."""
    weight_decay: WeightDecaySpace = 0.0
    """AdamW's decoupled weight decay."""
    warmup_ratio: WarmupRatioSpace = 0.1
    """Share of the schedule with a rising rate."""
    max_grad_norm: GradNormSpace = 1.0
    """Gradients of a step are scaled down to this global norm."""
    backbone_dropout: bool = True
    """Keep the backbone's own dropout on while training, as in the papers."""
    head_dropout: HeadDropoutSpace = 0.1
    """Dropout inside the heads."""
    seeds: Seeds | None = None
    """One run a seed; absent: those of ``[final]``, whatever ``[per_task]`` says."""
    run: Annotated[tuple[JointRunSpec, ...], Field(strict=False, max_length=64)] = ()
    """The runs, one ``[[joint.run]]`` each."""

    _distinct = field_validator("unselected", "seeds")(lambda values: values and no_duplicates(values))

    @model_validator(mode="after")
    def _check_labels(self) -> JointSpec:
        labels = [one.label for one in self.run]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if SINGLE in labels:
            raise ValueError(
                f'no joint run can be named "{SINGLE}", which is what pool.training calls the others'
            )
        if twice:
            raise ValueError(f"joint runs named alike: {', '.join(twice)}; give each a name of its own")
        return self

    def training_of(self, run: JointRunSpec) -> dict[str, Any]:
        """Return how a run trains, but for its learning rate, by the names of ``JointRegime``; ranges as they are."""
        own = {name: getattr(run, name) for name in JointOverrides.model_fields}
        shared = {
            name: getattr(self, name) for name in type(self).model_fields if name not in ("run", "seeds")
        }
        return {**shared, **{name: value for name, value in own.items() if value is not None}}
