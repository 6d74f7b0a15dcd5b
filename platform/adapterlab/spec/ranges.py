"""What may be searched where one value would stand: keys of training sections, and a method's settings.

A key that takes a number takes a range or choices of such numbers too. Each section that has some is a search of its
own: a baseline's on every target, the pool's on every source, and those of ``[transfer]`` are dimensions of the
combiners' studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from adapterlab.spec.search_space import (
    OF_JOINT_TRAINING,
    OF_TRAINING,
    Choices,
    Dimension,
    FloatRange,
    FloatSpace,
    IntRange,
    IntSpace,
    ends_of,
    first_of,
    parse_dimension,
)

_RANGE_KEYS: Final = frozenset({"low", "high", "log", "choices"})

Rate = Annotated[float, Field(gt=0, le=1)]
Epochs = Annotated[int, Field(ge=1, le=10_000)]
BatchSize = Annotated[int, Field(ge=1, le=4096)]
WeightDecay = Annotated[float, Field(ge=0, le=1)]
WarmupRatio = Annotated[float, Field(ge=0, lt=1)]
GradNorm = Annotated[float, Field(gt=0)]
HeadDropout = Annotated[float, Field(ge=0, lt=1)]
Steps = Annotated[int, Field(ge=1, le=100_000_000)]
Temperature = Annotated[float, Field(gt=0, le=1e6)]


def _within(kind: Any) -> AfterValidator:
    """Return a validator: every choice, and both ends of a range, must be a value that could stand alone."""
    one = TypeAdapter[float](kind)

    def check(space: Any) -> Any:
        if isinstance(space, BaseModel):
            for value in ends_of(space):  # type: ignore[arg-type]  # of models only dimensions come here
                try:
                    one.validate_python(value)
                except ValidationError as error:
                    rule = error.errors(include_url=False)[0]["msg"].replace("Input should be", "must be")
                    raise ValueError(f"{rule}, got {value:g}") from None
        return space

    return AfterValidator(check)


RateSpace = Annotated[FloatSpace[Rate], _within(Rate)]
EpochsSpace = Annotated[IntSpace[Epochs], _within(Epochs)]
BatchSizeSpace = Annotated[IntSpace[BatchSize], _within(BatchSize)]
WeightDecaySpace = Annotated[FloatSpace[WeightDecay], _within(WeightDecay)]
WarmupRatioSpace = Annotated[FloatSpace[WarmupRatio], _within(WarmupRatio)]
GradNormSpace = Annotated[FloatSpace[GradNorm], _within(GradNorm)]
HeadDropoutSpace = Annotated[FloatSpace[HeadDropout], _within(HeadDropout)]
StepsSpace = Annotated[IntSpace[Steps], _within(Steps)]
TemperatureSpace = Annotated[FloatSpace[Temperature], _within(Temperature)]


def searched(section: BaseModel) -> dict[str, Dimension]:
    """Return the keys of a training section that are searched, by name; ``lr`` too where the section has one."""
    found = {name: getattr(section, name, None) for name in ("lr", *OF_TRAINING)}
    return {
        name: value for name, value in found.items() if isinstance(value, FloatRange | IntRange | Choices)
    }


def split_training(training: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Dimension]]:
    """Return how a joint run trains with one value for every key, and the keys that are searched, by name.

    Args:
        training: As written, by name, ``lr`` among them.
    """
    spaces: dict[str, Dimension] = {
        name: training[name]
        for name in ("lr", *OF_JOINT_TRAINING)
        if isinstance(training[name], FloatRange | IntRange | Choices)
    }
    return {**training, **{name: _as_whole(first_of(one)) for name, one in spaces.items()}}, spaces


def at_first(section: Any) -> Any:
    """Return a training section with one value of every dimension in its place: what is not searched is what counts."""
    values = {name: _as_whole(first_of(space)) for name, space in searched(section).items()}
    return section.model_copy(update=values) if values else section


def is_space(value: Any) -> bool:
    """Return whether what is written as one of a method's settings is a range or choices."""
    return isinstance(value, Mapping) and bool(value) and _RANGE_KEYS.issuperset(value)


def split_settings(written: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Dimension]]:
    """Return a method's settings that are fixed, and those that are searched.

    Raises:
        pydantic.ValidationError: A range makes no sense; a loaded spec never raises this.
    """
    fixed = {name: value for name, value in written.items() if not is_space(value)}
    return fixed, {name: parse_dimension(value) for name, value in written.items() if name not in fixed}


def settings_at(fixed: Mapping[str, Any], values: Mapping[str, float]) -> dict[str, Any]:
    """Return a method's settings with a value for each that is searched.

    Args:
        fixed: The others, as written.
        values: By name; whole ones become whole numbers, which settings of both kinds take.
    """
    return {**fixed, **{name: _as_whole(value) for name, value in values.items()}}


def settings_at_first(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's settings with the first value of each range in its place.

    Raises:
        pydantic.ValidationError: A range makes no sense; a loaded spec never raises this.
    """
    fixed, spaces = split_settings(written)
    return settings_at(fixed, {name: first_of(space) for name, space in spaces.items()})


def _as_whole(value: float) -> float:
    return int(value) if value == int(value) else value


def greatest(value: Any) -> int:
    """Return the greatest value of a whole number that may be searched."""
    return int(max(ends_of(value))) if isinstance(value, IntRange | Choices) else int(value)
