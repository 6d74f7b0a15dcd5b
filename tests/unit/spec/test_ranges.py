"""A range stands wherever a number of a training section stands; whole numbers stay whole."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from adapterlab.spec.ranges import at_first, searched, settings_at, split_settings
from adapterlab.spec.search_space import Choices, FloatRange, IntRange, TrialSetting
from adapterlab.spec.training import SourceSpec, TransferSpec
from specs import spec

RATE = {"low": 1e-4, "high": 1e-2, "log": True}


def test_a_section_tells_what_of_it_is_searched_and_has_a_value_for_each():
    section = SourceSpec.model_validate(
        {"lr": RATE, "max_epochs": {"low": 2, "high": 9}, "batch_size": {"choices": [16, 32]}, "patience": 3}
    )
    assert searched(section) == {
        "lr": FloatRange(low=1e-4, high=1e-2, log=True),
        "max_epochs": IntRange(low=2, high=9),
        "batch_size": Choices(choices=(16, 32)),
    }
    fixed = at_first(section)
    assert (fixed.lr, fixed.max_epochs, fixed.batch_size, fixed.patience) == (1e-4, 2, 16, 3)
    assert not searched(fixed)
    assert at_first(TransferSpec()) == TransferSpec()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("max_epochs", {"low": 0, "high": 5}, "greater than or equal to 1, got 0"),
        ("max_epochs", {"low": 1, "high": 2.5}, "valid integer"),
        ("batch_size", {"choices": [16, 16.5]}, "got 16.5"),
        ("warmup_ratio", {"low": 0.0, "high": 1.0}, "less than 1, got 1"),
        ("lr", {"choices": [1e-3, 2.0]}, "less than or equal to 1, got 2"),
        ("weight_decay", {"low": 0.5, "high": 0.1}, "low must be less than high"),
    ],
)
def test_no_end_of_a_range_may_be_what_could_not_stand_alone(key, value, said):
    with pytest.raises(ValidationError, match=said):
        SourceSpec.model_validate({key: value})


def test_what_is_no_number_to_choose_is_not_searched():
    for key in ("patience", "seed", "select_by", "backbone_dropout"):
        with pytest.raises(ValidationError):
            SourceSpec.model_validate({key: {"choices": [1, 2]}})


def test_a_resolved_spec_keeps_its_ranges_over_json():
    one = spec(
        source={"lr": RATE, "max_epochs": {"low": 2, "high": 9}},
        adapter={"settings": {"reduction_factor": {"low": 4, "high": 16}}},
        baseline=[{"method": "lora", "batch_size": {"choices": [8, 16]}}],
    )
    assert type(one).model_validate_json(json.dumps(one.model_dump(mode="json"))) == one


def test_settings_are_split_and_put_together_again():
    fixed, spaces = split_settings(
        {"targets": ["query"], "r": {"low": 2, "high": 8}, "alpha": {"low": 2.0, "high": 8.0}}
    )
    assert fixed == {"targets": ["query"]}
    assert spaces == {"r": IntRange(low=2, high=8), "alpha": FloatRange(low=2.0, high=8.0)}
    assert settings_at(fixed, {"r": 4.0, "alpha": 2.5}) == {"targets": ["query"], "r": 4, "alpha": 2.5}


def test_a_trial_tells_training_from_the_dimensions_of_what_is_trained():
    setting = TrialSetting.of({"lr": 1e-3, "max_epochs": 4.0, "warmup_ratio": 0.1, "r": 8.0, "head_lr": 1e-2})
    assert setting.training == {"max_epochs": 4, "warmup_ratio": 0.1}
    assert isinstance(setting.training["max_epochs"], int)
    assert (setting.dimensions, setting.head_lr) == ({"r": 8.0}, 1e-2)


def test_steps_cannot_be_counted_in_batches_that_are_searched():
    few = {"data.few_shot": 16, "few_shot.max_steps": 10, "final.seeds": [0]}
    assert spec(**few).few_shot.max_steps == 10
    with pytest.raises(ValidationError, match=r"transfer\.batch_size is searched"):
        spec(**few, transfer={"batch_size": {"choices": [8, 16]}})
