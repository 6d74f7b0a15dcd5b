"""Search dimensions as data: a fixed value, a range of numbers or of whole numbers, or a list of choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, model_validator

Setting = float | str
"""A dimension's value; text only where the combiner is one."""

HEAD_LR = "head_lr"
SOURCE_HEAD = "source_head"
OF_EVERY_COMBINER = (HEAD_LR, SOURCE_HEAD)
"""Optional dimensions that the engine uses itself, whatever the combiner."""

OF_TRAINING = ("max_epochs", "batch_size", "weight_decay", "warmup_ratio", "max_grad_norm", "head_dropout")
"""Keys of training sections that may be searched; dimensions of a study only where a spec searches them."""
OF_JOINT_TRAINING = (
    "steps",
    "batch_size",
    "temperature",
    "weight_decay",
    "warmup_ratio",
    "max_grad_norm",
    "head_dropout",
)
"""Keys of ``[joint]`` that may be searched; dimensions of a joint run's study only where a spec searches them."""
WHOLE_NUMBERS = frozenset({"max_epochs", "batch_size", "steps"})
"""Keys of training that are whole numbers."""

COMBINER = "combiner"
"""The dimension whose value decides which others there are, in a study that chooses the combiner. Its
combiners' own dimensions are stored as ``<combiner>.<dimension>``."""


@dataclass(frozen=True)
class TrialSetting:
    """One setting of a study: the learning rate, and what the combiner's layer is made with."""

    lr: float
    """Peak learning rate."""
    dimensions: Mapping[str, float]
    """Value of each dimension that is the combiner's own, or of a method's settings, by name."""
    combiner: str | None = None
    """The combiner's name where the study chooses it."""
    head_lr: float | None = None
    """Peak learning rate of the head; ``None``: ``lr``."""
    source_head: float = 0.0
    """How far the head starts at the target's own adapter's, in [0, 1]."""
    training: Mapping[str, float] = field(default_factory=dict)
    """Values of the searched keys of its training section, by name."""

    @classmethod
    def of(cls, values: Mapping[str, Setting]) -> TrialSetting:
        """Return the setting that a sampler proposes or a record keeps, by name.

        Raises:
            KeyError: There is no learning rate among the values.
        """
        engine = ("lr", COMBINER, *OF_EVERY_COMBINER, *OF_TRAINING)
        own = {name: float(value) for name, value in values.items() if name not in engine}
        chosen, head_lr = values.get(COMBINER), values.get(HEAD_LR)
        return cls(
            lr=float(values["lr"]),
            dimensions=own,
            combiner=None if chosen is None else str(chosen),
            head_lr=None if head_lr is None else float(head_lr),
            source_head=float(values.get(SOURCE_HEAD, 0.0)),
            training=training_values(values),
        )


def training_values(values: Mapping[str, Setting], names: Sequence[str] = OF_TRAINING) -> dict[str, float]:
    """Return what a setting says of training, by name, whole numbers as such.

    Args:
        values: Of a setting, by name.
        names: Those that are of training; others are passed over.
    """
    return {
        name: int(values[name]) if name in WHOLE_NUMBERS else float(values[name])
        for name in names
        if name in values
    }


class Frozen(BaseModel):
    """Base of every part of a spec: immutable, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(
        defer_build=True,  # parts are built with the whole they are read in, not each for itself as well
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class FloatRange(Frozen):
    """A range to sample from, for example ``{ low = 1e-4, high = 1e-2, log = true }``."""

    low: float
    """Smallest value, inclusive."""
    high: float
    """Largest value, inclusive."""
    log: bool = False
    """Sample the logarithm uniformly; needs ``low > 0``."""

    @model_validator(mode="after")
    def _check_order(self) -> FloatRange:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, got low = {self.low}, high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs low > 0, got low = {self.low}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return self.low, self.high


class IntRange(Frozen):
    """A range of whole numbers to sample from, for example ``{ low = 4, high = 64, log = true }``."""

    low: int
    """Smallest value, inclusive."""
    high: int
    """Largest value, inclusive."""
    log: bool = False
    """Sample the logarithm uniformly; needs ``low > 0``."""

    @model_validator(mode="after")
    def _check_order(self) -> IntRange:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, got low = {self.low}, high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs low > 0, got low = {self.low}")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        return self.low, self.high


class Choices(Frozen):
    """A list of values to choose from, for example ``{ choices = [0.0, 0.1, 0.3] }``."""

    choices: Annotated[tuple[float, ...], Field(strict=False, min_length=1)]
    """The values; no duplicates."""

    @model_validator(mode="after")
    def _check_distinct(self) -> Choices:
        if len(set(self.choices)) != len(self.choices):
            raise ValueError(f"choices must be distinct, got {list(self.choices)}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.choices), max(self.choices)


def space_tag(value: Any) -> str:
    """Return the kind of a dimension: ``"value"``, ``"range"`` or ``"choices"``."""
    if isinstance(value, dict):
        return "choices" if "choices" in value else "range"
    if isinstance(value, FloatRange | IntRange):
        return "range"
    return "choices" if isinstance(value, Choices) else "value"


def _dimension_tag(value: Any) -> str:
    """Return the kind of a dimension that is read: a range whose ends are whole numbers is one of whole numbers."""
    if isinstance(value, dict) and "choices" not in value:
        ends = value.get("low"), value.get("high")
        return "whole" if all(isinstance(end, int) and not isinstance(end, bool) for end in ends) else "range"
    return "whole" if isinstance(value, IntRange) else space_tag(value)


ValueT = TypeVar("ValueT")
FloatSpace = Annotated[
    Annotated[ValueT, Tag("value")]
    | Annotated[FloatRange, Tag("range")]
    | Annotated[Choices, Tag("choices")],
    Discriminator(space_tag),
]
"""One value, a range of numbers, or choices."""
IntSpace = Annotated[
    Annotated[ValueT, Tag("value")] | Annotated[IntRange, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(space_tag),
]
"""One value, a range of whole numbers, or choices."""

Space = FloatSpace[float]
"""A search dimension of numbers: one (fixed), a :class:`FloatRange` or :class:`Choices`."""

Dimension: TypeAlias = float | FloatRange | IntRange | Choices
"""A search dimension: of a combiner, of a method's settings, or of training."""

StoredDimension = Annotated[
    Annotated[float, Tag("value")]
    | Annotated[FloatRange, Tag("range")]
    | Annotated[IntRange, Tag("whole")]
    | Annotated[Choices, Tag("choices")],
    Discriminator(_dimension_tag),
]
"""A :data:`Dimension` as JSON holds it."""


def bounds_of(space: Dimension) -> tuple[float, float]:
    """Return the least and the greatest value a dimension can take."""
    return space.bounds if isinstance(space, FloatRange | IntRange | Choices) else (space, space)


def takes(space: Dimension, value: float) -> bool:
    """Return whether a dimension can take a value."""
    if isinstance(space, FloatRange):
        return space.low <= value <= space.high
    if isinstance(space, IntRange):
        return space.low <= value <= space.high and value == int(value)
    return value in (space.choices if isinstance(space, Choices) else (space,))


def space_words(space: Dimension) -> str:
    """Return a dimension in words: ``0.001 to 0.02``, ``0.1, 0.3`` or ``0.3 only``."""
    if isinstance(space, FloatRange | IntRange):
        return f"{space.low:g} to {space.high:g}"
    return ", ".join(f"{one:g}" for one in space.choices) if isinstance(space, Choices) else f"{space:g} only"


def is_fixed(space: Dimension) -> bool:
    """Return whether a dimension can take one value only."""
    if isinstance(space, Choices):
        return len(space.choices) == 1
    return not isinstance(space, FloatRange | IntRange)


def first_of(space: Dimension) -> float:
    """Return one value of a dimension: the only one, the first choice, or the low end of a range."""
    if isinstance(space, FloatRange | IntRange):
        return space.low
    return space.choices[0] if isinstance(space, Choices) else space


def middle_of(space: Dimension) -> float:
    """Return the middle of a dimension: of a range, in its logarithm where that is sampled, or of choices by size."""
    if isinstance(space, FloatRange | IntRange):
        middle = math.sqrt(space.low * space.high) if space.log else (space.low + space.high) / 2
        return round(middle) if isinstance(space, IntRange) else middle
    return median_low(space.choices) if isinstance(space, Choices) else space


def ends_of(space: Dimension) -> tuple[float, ...]:
    """Return the values that show whether a dimension fits what it is for: every choice, or both ends."""
    return space.choices if isinstance(space, Choices) else tuple(dict.fromkeys(bounds_of(space)))


def space_json(space: Dimension) -> Any:
    """Return a dimension as JSON: a number, ``{low, high, log}``, of whole numbers with ``integer``, or ``{choices}``."""
    # The order of choices decides what a sampler draws, so it stays as written.
    if isinstance(space, IntRange):  # 4 and 4.0 are one in JSON, and another search here
        return {**space.model_dump(mode="json"), "integer": True}
    return space.model_dump(mode="json") if isinstance(space, BaseModel) else float(space)


_PARSER: TypeAdapter[float | FloatRange | Choices] = TypeAdapter(Space)
_ANY_PARSER: TypeAdapter[Dimension] = TypeAdapter(StoredDimension)


def parse_space(value: Any) -> float | FloatRange | Choices:
    """Return a dimension from its JSON form: a number, ``{low, high, log}`` or ``{choices}``."""
    return _PARSER.validate_python(value)


def parse_dimension(value: Any) -> Dimension:
    """Return a dimension as it is written; a range whose ends are whole numbers is one of whole numbers.

    Raises:
        pydantic.ValidationError: It is none.
    """
    return _ANY_PARSER.validate_python(value)
