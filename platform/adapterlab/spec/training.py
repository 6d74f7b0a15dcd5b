"""How runs train: the sections of the two stages, and what single methods, tasks or few rows change of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from adapterlab.spec.ranges import (
    BatchSizeSpace,
    EpochsSpace,
    GradNormSpace,
    HeadDropoutSpace,
    RateSpace,
    WarmupRatioSpace,
    WeightDecaySpace,
)
from adapterlab.spec.search_space import Frozen

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(strict=False, min_length=1, max_length=100)]


def no_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values.

    Raises:
        ValueError: One is listed twice.
    """
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return values


class TrainingSpec(Frozen):
    """How one run trains; AdamW without weight decay, linear decay to 0 over ``max_epochs``."""

    max_epochs: EpochsSpace = 30
    """Upper bound of epochs; also the length of the learning-rate schedule."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without improvement on validation before a run stops."""
    batch_size: BatchSizeSpace = 32
    """Rows a step."""
    select_by: Literal["loss", "metric"] = "loss"
    """The best epoch is the one with the least validation loss, or with the best metric."""
    weight_decay: WeightDecaySpace = 0.0
    """AdamW's decoupled weight decay."""
    warmup_ratio: WarmupRatioSpace = 0.0
    """Share of the schedule with a rising rate."""
    max_grad_norm: GradNormSpace = 1.0
    """Gradients of a run are scaled down to this global norm."""
    backbone_dropout: bool = True
    """Keep the frozen backbone's own dropout on while training, as in the papers."""
    head_dropout: HeadDropoutSpace = 0.1
    """Dropout inside the classification head."""


class SourceSpec(TrainingSpec):
    """Stage 1: training of the source adapters."""

    lr: RateSpace = 3e-4
    """Peak learning rate."""
    seed: Seed | Seeds = 0
    """Seed of init, data order and dropout; one adapter a task, as in the paper. A list trains every source adapter
    once a seed and every combination over the pool of each: a row's runs are pools × final seeds, and reports
    tell how much of its variance each has."""

    @field_validator("seed")
    @classmethod
    def _check_seeds(cls, seed: int | tuple[int, ...]) -> int | tuple[int, ...]:
        return no_duplicates(seed) if isinstance(seed, tuple) else seed

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds as a tuple, however they were written."""
        return self.seed if isinstance(self.seed, tuple) else (self.seed,)


class TransferSpec(TrainingSpec):
    """Stage 2: training of a combination and its head on a target."""


Section = TypeVar("Section", SourceSpec, TransferSpec)


class TrainingOverrides(Frozen):
    """Keys of a training section that are written here replace the section's; the others keep its values."""

    max_epochs: EpochsSpace | None = None
    """As in the section."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """As in the section."""
    batch_size: BatchSizeSpace | None = None
    """As in the section."""
    select_by: Literal["loss", "metric"] | None = None
    """As in the section."""
    weight_decay: WeightDecaySpace | None = None
    """As in the section."""
    warmup_ratio: WarmupRatioSpace | None = None
    """As in the section."""
    max_grad_norm: GradNormSpace | None = None
    """As in the section."""
    backbone_dropout: bool | None = None
    """As in the section."""
    head_dropout: HeadDropoutSpace | None = None
    """As in the section."""

    def over(self, training: Section) -> Section:
        """Return the section with what is written here in place of its own values."""
        return training.model_copy(update=self.written)

    @property
    def written(self) -> dict[str, Any]:
        """The section's keys that are written here, by name."""
        found = {name: getattr(self, name) for name in TrainingOverrides.model_fields}
        return {name: value for name, value in found.items() if value is not None}


class FewShotSpec(TrainingOverrides):
    """What differs in training where ``data.few_shot`` rows train.

    That is: the targets' own adapters, their combinations and baselines. The papers train 1000 steps with
    a patience of 20.
    """

    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Upper bound of steps, in place of ``max_epochs``: as many epochs as hold so many steps."""

    @model_validator(mode="after")
    def _check_bound(self) -> FewShotSpec:
        if self.max_steps is not None and self.max_epochs is not None:
            raise ValueError("max_steps and max_epochs exclude each other")
        return self


class PerSourceSpec(TrainingOverrides):
    """What the pool's adapter of one task has of its own.

    Comes before ``[per_task]``. Adapters that few-shot targets train on their few rows are not concerned.
    """

    max_train_rows: Annotated[int, Field(ge=8)] | None = None
    """Train on the first so many rows of its shuffled train split, if ``data.max_train_rows`` leaves as many."""


class PerTaskSpec(TrainingOverrides):
    """What one task has of its own.

    Its source adapter, its combinations and baselines train so. What ``[combiner.per_kind]``,
    ``[[baseline]]`` and ``[few_shot]`` say comes before it.
    """

    seeds: Seeds | None = None
    """Seeds of its final runs, and of its baselines that name none; the papers take ten for small tasks and
    three for large ones."""

    _distinct = field_validator("seeds")(lambda seeds: seeds and no_duplicates(seeds))
