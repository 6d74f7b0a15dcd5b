"""Search dimensions as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapterlab.spec.search_space import Choices, FloatRange, Frozen, Space, bounds_of, is_fixed


class Holder(Frozen):
    """A table with one dimension."""

    lr: Space


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("written", "kind", "bounds", "fixed"),
    [
        (2, float, (2, 2), True),
        (0.5, float, (0.5, 0.5), True),
        ({"low": 1, "high": 2.5}, FloatRange, (1, 2.5), False),
        ({"low": 1e-4, "high": 1e-2, "log": True}, FloatRange, (1e-4, 1e-2), False),
        ({"choices": [0.3]}, Choices, (0.3, 0.3), True),
        ({"choices": [3, 1, 2]}, Choices, (1, 3), False),
    ],
)
def test_a_number_a_range_and_choices(
    written: object, kind: type, bounds: tuple[float, float], fixed: bool
) -> None:
    value = Holder.model_validate({"lr": written}).lr
    assert isinstance(value, kind)
    assert bounds_of(value) == bounds
    assert is_fixed(value) is fixed


@pytest.mark.parametrize(
    "written",
    ["x", True, None, [], {}, {"low": 1}, {"low": 2, "high": 1}, {"low": 1, "high": 1}, {"choices": []},
     {"choices": [1, 1.0]}, {"low": 0, "high": 1, "log": True}, {"low": 1, "high": 2, "step": 1},
     {"choices": [1], "low": 0}, float("nan"), {"low": 0.0, "high": float("inf")}, {"choices": ["a"]}],
)  # fmt: skip
def test_anything_else_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate({"lr": written})


@given(numbers, numbers)
def test_a_range_is_valid_just_when_it_has_an_inside(low: float, high: float) -> None:
    if low < high:
        assert FloatRange(low=low, high=high).bounds == (low, high)
    else:
        with pytest.raises(ValidationError, match="low must be less than high"):
            FloatRange(low=low, high=high)


@given(st.lists(numbers, min_size=1, unique=True))
def test_choices_keep_their_order_and_survive_json(choices: list[float]) -> None:
    value = Choices(choices=tuple(choices))
    assert Holder.model_validate_json(Holder(lr=value).model_dump_json()).lr == value
    assert list(value.choices) == choices
