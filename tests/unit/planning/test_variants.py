"""Dimensions of a spec: every value has the steps and keys of a sweep of that value alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.matrix import plan_matrix
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import StepId
from adapterlab.planning.variants import RowDimensions, dimensions_of_rows, few_rows_complaint
from adapterlab.records import State, StepKind
from adapterlab.spec.model import Spec
from specs import facts, spec

BASELINES: dict[str, Any] = {"baseline": [{"method": "pfeiffer", "name": "adapter"}, {"method": "lora"}]}
FEW: dict[str, Any] = {"few_shot": {"max_steps": 40, "patience": 7}, "data.max_validation_rows": 10}

ROWS = st.lists(st.sampled_from([2, 4, 16, 32, 99]), min_size=1, max_size=3, unique=True)
SEEDS = st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)
SIZES = st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True)


def plan_of(**changes: Any) -> Plan:
    wanted = spec(**changes)
    known = facts(wanted)
    tasks = {name: replace(one, n_validation=50) for name, one in known.tasks.items()}
    return compile_plan(wanted, replace(known, tasks=tasks))


def keys(plan: Plan) -> set[str]:
    return {str(step.key) for step in plan.steps}


def alone(rows: int | str, seed: int, **changes: Any) -> Plan:
    """Return the plan of one number of rows and one source seed."""
    if rows == "all":
        return plan_of(**BASELINES, **{"source.seed": seed}, **changes)
    return plan_of(**BASELINES, **FEW, **{"data.few_shot": rows, "source.seed": seed}, **changes)


LR = {"low": 1e-4, "high": 1e-2, "log": True}
SEARCHES: list[dict[str, Any]] = [
    {},
    {"source.lr": LR},
    {"source.max_epochs": {"low": 2, "high": 5}, "transfer.batch_size": {"choices": [8, 16]}},
    {
        "source.lr": LR,
        "per_source": {"glue/mrpc": {"max_train_rows": 20, "max_epochs": {"low": 1, "high": 3}}},
    },
]
"""What is searched beside the combiners' own dimensions, or of uneven quality."""


@settings(max_examples=20)
@given(ROWS, st.booleans(), SEEDS, SIZES, st.sampled_from(["fixed", "per_seed"]), st.sampled_from(SEARCHES))
def test_a_sweep_of_dimensions_has_the_keys_of_the_sweeps_of_each_value(
    rows, whole, seeds, sizes, draw, searched
):
    numbers: list[int | str] = [*rows, "all"] if whole else [*rows]
    if any("batch_size" in name for name in searched):  # beside max_steps nobody could count epochs
        numbers, draw = ["all"], "fixed"
    size = {"pool.size": sizes, **searched}
    plan = plan_of(
        **BASELINES,
        **({} if numbers == ["all"] else FEW),
        **size,
        **{"data.few_shot": numbers, "data.few_shot_draw": draw, "source.seed": seeds},
    )
    drawn = {"data.few_shot_draw": draw}
    each = [
        keys(alone(one, seed, **size, **({} if one == "all" else drawn))) for one in numbers for seed in seeds
    ]
    assert keys(plan) == set().union(*each)
    assert len({step.id for step in plan.steps}) == len(plan.steps)
    place = {step.id: number for number, step in enumerate(plan.steps)}
    assert all(place[need] < place[step.id] for step in plan.steps for need in step.needs)
    assert all(StepId.parse(str(step.id)) == step.id for step in plan.steps)


@pytest.mark.parametrize(
    ("one", "listed"),
    [
        ({"data.few_shot": 16, **FEW}, {"data.few_shot": [16], **FEW}),
        ({"source.seed": 3}, {"source.seed": [3]}),
        ({}, {"data.few_shot": "all"}),
    ],
)
def test_a_list_of_one_value_is_that_value(one, listed):
    assert plan_of(**BASELINES, **one).key == plan_of(**BASELINES, **listed).key


def test_every_method_has_a_row_for_each_number_of_rows():
    wanted = spec(**BASELINES, **{"data.few_shot": [4, "all"], "pool.size": [1, 2]})
    assert dimensions_of_rows(wanted) == {
        "adapter 4 rows": RowDimensions(4),
        "lora 4 rows": RowDimensions(4),
        "scalearn 1 source 4 rows": RowDimensions(4, 1, "order", 0),
        "scalearn 2 sources 4 rows": RowDimensions(4, 2, "order", 0),
        "scalearn_uniform 1 source 4 rows": RowDimensions(4, 1, "order", 0),
        "scalearn_uniform 2 sources 4 rows": RowDimensions(4, 2, "order", 0),
        "adapter all rows": RowDimensions(None),
        "lora all rows": RowDimensions(None),
        "scalearn 1 source all rows": RowDimensions(None, 1, "order", 0),
        "scalearn 2 sources all rows": RowDimensions(None, 2, "order", 0),
        "scalearn_uniform 1 source all rows": RowDimensions(None, 1, "order", 0),
        "scalearn_uniform 2 sources all rows": RowDimensions(None, 2, "order", 0),
    }
    plan = compile_plan(wanted, facts(wanted))
    known = {step.id for step in plan.steps}
    assert {step.job.label for step in plan.studies} == {
        name for name in dimensions_of_rows(wanted) if name.startswith("scalearn")
    }
    rows = baseline_rows(wanted)
    assert {one.label for one in rows} == {
        name for name in dimensions_of_rows(wanted) if not name.startswith("scalearn")
    }
    assert all(one in known for row in rows for one in row.steps.values())


def test_full_sources_are_trained_once_for_all_numbers_of_rows():
    plan = plan_of(**{"data.few_shot": [4, 16, "all"]})
    of_mrpc = [str(step.id) for step in plan.sources if step.job.task == "glue/mrpc"]
    assert of_mrpc == ["source/glue/mrpc/seed=0"]
    of_rte = [str(step.id) for step in plan.sources if step.job.task == "glue/rte"]
    assert of_rte == [
        "source/glue/rte/seed=0",
        "source/glue/rte/rows=4/seed=0",
        "source/glue/rte/rows=16/seed=0",
    ]


def test_a_row_of_several_pools_is_one_row_whose_studies_are_told_apart():
    plan = plan_of(**BASELINES, **{"source.seed": [0, 1], "targets.tasks": ["glue/rte"]})
    of_scalearn = [step for step in plan.studies if step.job.label == "scalearn"]
    assert [step.title for step in of_scalearn] == [
        "rte · scalearn · source seed 0",
        "rte · scalearn · source seed 1",
    ]
    pools = [{member.key for member in step.job.pool} for step in of_scalearn]
    assert not pools[0] & pools[1]
    adapters = [
        str(one) for one in baseline_rows(spec(**BASELINES, **{"source.seed": [0, 1]}))[0].steps.values()
    ]
    assert adapters == ["source/glue/rte/seed=0", "source/glue/rte/seed=1"], (
        "a pool's own adapter is a run of the row"
    )
    (shown,) = [
        one
        for one in plan_matrix(plan, ["glue/rte"], (), state=lambda _: State.PENDING, seconds=None)
        if one.name == "scalearn"
    ]
    assert shown.targets["glue/rte"].runs == 4, "two pools of two final seeds"
    assert len(plan.of_kind(StepKind.SOURCE)) == 3 * 2 + 2


@pytest.mark.parametrize(
    "changes",
    [
        {"data.few_shot": []},
        {"data.few_shot": [16, 16]},
        {"data.few_shot": [1]},
        {"data.few_shot": ["most"]},
        {"data.few_shot": "all", "data.few_shot_draw": "per_seed"},
        {"data.few_shot": ["all"], "few_shot.patience": 3},
        {"source.seed": []},
        {"source.seed": [0, 0]},
        {"source.seed": [-1]},
    ],
)
def test_values_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValidationError):
        spec(**changes)


def test_more_rows_than_a_target_has_are_refused_where_they_stand():
    wanted = spec(**{"data.few_shot": [16, 101]})
    found = few_rows_complaint(wanted, facts(wanted).tasks)
    assert found is not None
    assert found.path == ("data", "few_shot", 1)
    assert found.message == (
        "data.few_shot: 101 rows of each target, but to train on glue/rte has 100, superglue/cb has 100"
    )
    assert "at most 100" in str(found.hint)
    enough = spec(**{"data.few_shot": [100, "all"]})
    assert few_rows_complaint(enough, facts(enough).tasks) is None
    assert few_rows_complaint(wanted, {}) is None, "what is not known is not refused"


def test_a_resolved_spec_is_read_again_as_it_was():
    wanted = spec(**{"data.few_shot": [4, "all"], "source.seed": [0, 1]})
    assert Spec.model_validate_json(wanted.model_dump_json()) == wanted
