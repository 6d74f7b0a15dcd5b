"""A pruner has the settings it names, and they are in a study's key unless they are what they always were."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from adapterlab.errors import SpecError
from adapterlab.planning.compile import compile_plan
from adapterlab.spec.load import load_spec
from adapterlab.spec.model import SearchSpec
from adapterlab.spec.pruning import PRUNERS, PruningSpec, pruning_identity, pruning_settings
from specs import facts, spec

HEAD = """\
name = "x"
[backbone]
source = "package:x"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
"""


def faults_of(folder: Path, search: str) -> list[dict]:
    path = folder / "spec.toml"
    path.write_text(f"{HEAD}[search]\n{search}\n")
    with pytest.raises(SpecError) as refused:
        load_spec(path)
    return refused.value.details["faults"]


def study_key(**changes) -> str:
    wanted = spec(**{f"search.{name}": value for name, value in changes.items()})
    return compile_plan(wanted, facts(wanted)).studies[0].key


def test_defaults_that_are_spelled_out_change_no_key():
    usual = study_key()
    assert study_key(pruner="median", pruning={"startup_trials": 4, "warmup_epochs": 2}) == usual
    assert study_key(pruner="asha") == study_key(
        pruner="asha", pruning={"min_epochs": 1, "reduction_factor": 4}
    )


def test_every_pruner_and_each_of_its_settings_has_a_key_of_its_own():
    keys = [
        study_key(),
        study_key(pruner="none"),
        study_key(pruning={"startup_trials": 5}),
        study_key(pruning={"patience": 2}),
        study_key(pruner="asha"),
        study_key(pruner="asha", pruning={"reduction_factor": 3}),
        study_key(pruner="asha", pruning={"min_epochs": 2}),
        study_key(pruner="patience"),
        study_key(pruner="patience", pruning={"min_delta": 0.01}),
        study_key(pruner="percentile"),
        study_key(pruner="threshold", pruning={"lower": 0.5}),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_has_defaults(name):
    settings = pruning_settings(name, PruningSpec())
    assert None not in settings.values()
    assert (pruning_identity(name, settings) is None) == (name in ("median", "none"))


@pytest.mark.parametrize(
    ("pruner", "pruning", "message"),
    [
        ("median", {"reduction_factor": 3}, 'pruning.reduction_factor is not for pruner = "median"'),
        ("none", {"patience": 3}, "which has no settings"),
        ("threshold", {}, "needs pruning.lower"),
        ("median", {"min_delta": 0.1}, "pruning.min_delta needs pruning.patience"),
        ("asha", {"reduction_factor": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_of_another_pruner_are_refused(pruner, pruning, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        SearchSpec.model_validate({"pruner": pruner, "pruning": pruning})


def test_a_fault_stands_at_its_line(tmp_path):
    (fault,) = faults_of(tmp_path, 'pruner = "median"\npruning = { min_epochs = 2 }')
    assert fault["source"] == "pruning = { min_epochs = 2 }"
    assert fault["line"] == len(HEAD.splitlines()) + 3


@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "sha"])
def test_other_names_of_the_field_lead_to_asha(tmp_path, name):
    (fault,) = faults_of(tmp_path, f'pruner = "{name}"')
    assert fault["hint"] == 'did you mean "asha"?'


def test_comparing_runs_needs_as_many_as_can_show_something():
    search = {"pruner": "wilcoxon", "seeds_per_trial": 5}
    assert SearchSpec.model_validate(search).pruner == "wilcoxon"
    assert SearchSpec.model_validate({**search, "seeds_per_trial": 2, "folds": 3}).folds == 3
    with pytest.raises(ValidationError, match=r"after 4 runs at the earliest .* and a trial has 3"):
        SearchSpec.model_validate({**search, "seeds_per_trial": 3})
    assert SearchSpec.model_validate({**search, "seeds_per_trial": 3, "pruning": {"p_threshold": 0.3}})


def test_folds_of_fewer_than_two_rows_are_refused():
    assert spec(**{"search.folds": 5, "data.max_train_rows": 10}).search.folds == 5
    with pytest.raises(ValidationError, match=r"search\.folds: 5 folds of 8 training rows"):
        spec(**{"search.folds": 5, "data.few_shot": 8})
