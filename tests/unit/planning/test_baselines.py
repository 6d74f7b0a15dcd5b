"""A baseline is source steps like any other: trained once, whoever asks for it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.plan import Plan
from adapterlab.records import StepKind
from adapterlab_encoder.config import encoder_shape
from specs import facts, spec

BASE = encoder_shape(12, 768, 3072, 50265 + 514 + 1)
COUNTS = {
    "pfeiffer": ({}, 894_528),
    "houlsby": ({}, 1_789_056),
    "compacter_pp": ({}, 29_440),
    "propetl": ({}, 959_280),
    "ia3": ({}, 55_296),
    "lora": ({"r": 32, "alpha": 32.0}, 1_179_648),
    "head_only": ({}, 0),
    "full": ({}, 124_055_040),
}


def plan_of(*baselines, **changes) -> Plan:
    wanted = spec(baseline=list(baselines), **changes)
    return compile_plan(wanted, facts(wanted, shape=BASE))


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.of_kind(StepKind.SOURCE)]


def test_every_target_is_trained_once_a_seed_of_the_final_runs():
    plan = plan_of({"method": "lora"})
    assert [title for title in titles(plan) if title.startswith("lora")] == [
        "lora · rte · seed 0",
        "lora · rte · seed 1",
        "lora · cb · seed 0",
        "lora · cb · seed 1",
    ]
    assert len({step.key for step in plan.steps}) == len(plan.steps)
    kinds = [step.kind for step in plan.steps]
    assert StepKind.SOURCE not in kinds[kinds.index(StepKind.STUDY) :]  # all sources before any study


def test_what_the_pool_trains_already_is_not_trained_again():
    alone, beside = plan_of(), plan_of({"method": "pfeiffer", "name": "adapter", "seeds": [0, 1, 2]})
    assert titles(alone) == titles(beside)[:3]
    assert titles(beside)[3:] == [
        "adapter · rte · seed 1",
        "adapter · rte · seed 2",
        "adapter · cb · seed 1",
        "adapter · cb · seed 2",
    ]
    wanted = spec(baseline=[{"method": "pfeiffer", "name": "adapter", "seeds": [0, 1]}])
    rows = {row.target: row for row in baseline_rows(wanted)}
    assert {seed: str(one) for seed, one in rows["glue/rte"].steps.items()} == {
        0: "source/glue/rte/seed=0",
        1: "source/glue/rte/adapter/seed=1",
    }
    assert rows["glue/rte"].label == "adapter"


def test_a_target_left_out_of_its_pool_has_its_own_adapter_all_the_same():
    plan = plan_of(
        {"method": "pfeiffer", "seeds": [0]},
        **{"targets.tasks": ["glue/rte"], "pool.target": "exclude"},
    )
    assert "pfeiffer · rte · seed 0" in titles(plan)


def test_two_baselines_that_train_the_same_share_their_steps():
    wanted = spec(
        baseline=[{"method": "ia3", "seeds": [0]}, {"method": "ia3", "name": "again", "seeds": [0, 1]}]
    )
    plan = compile_plan(wanted, facts(wanted))
    assert [title for title in titles(plan) if "rte" in title] == [
        "source · rte · seed 0",
        "ia3 · rte · seed 0",
        "again · rte · seed 1",
    ]
    again = next(row for row in baseline_rows(wanted) if row.label == "again" and row.target == "glue/rte")
    assert {seed: str(one) for seed, one in again.steps.items()} == {
        0: "source/glue/rte/ia3/seed=0",
        1: "source/glue/rte/again/seed=1",
    }


def test_every_row_leads_to_steps_of_the_plan():
    wanted = spec(baseline=[{"method": method} for method in COUNTS])
    planned = {step.id for step in compile_plan(wanted, facts(wanted)).steps}
    rows = baseline_rows(wanted)
    assert len(rows) == 2 * len(COUNTS)
    assert all(set(row.steps.values()) <= planned for row in rows)
    assert all(tuple(row.steps) == wanted.final.seeds for row in rows)


def test_keys_of_a_spec_without_baselines_stay_as_they_are():
    alone, beside = plan_of(), plan_of({"method": "full"}, {"method": "lora"})
    assert {step.key for step in alone.steps} < {step.key for step in beside.steps}


def test_a_method_trains_as_its_paper_says_unless_the_baseline_says_otherwise():
    plan = plan_of(
        {"method": "full", "seeds": [0]},
        {"method": "propetl", "seeds": [0], "weight_decay": 0.0, "max_epochs": 7},
        {"method": "houlsby", "seeds": [0]},
        {"method": "ia3", "seeds": [0], "lr": 1e-4},
        **{"source.lr": 1e-3, "source.patience": 9},
    )
    by_label = {step.job.label: step.job.training for step in plan.sources}
    assert by_label["full"].lr == 2e-5
    assert (by_label["propetl"].lr, by_label["propetl"].weight_decay) == (1e-3, 0.0)
    assert by_label["propetl"].max_epochs == 7
    assert by_label["houlsby"].lr == 1e-3
    assert by_label["ia3"].lr == 1e-4
    assert {training.patience for training in by_label.values()} == {9}


@pytest.mark.parametrize("method", COUNTS)
def test_parameter_counts_are_the_papers(method):
    """At roberta-base shape, heads apart. Source: ScaLearn (arXiv 2310.01217), table 4."""
    settings, count = COUNTS[method]
    plan = plan_of({"method": method, "settings": settings, "name": "row", "seeds": [5]})
    found = {step.trainable_parameters for step in plan.sources if step.job.label == "row"}
    assert found == {count}


def test_lora_of_rank_eight_has_a_quarter_of_rank_thirty_two():
    plan = plan_of({"method": "lora", "seeds": [5]})
    assert next(s for s in plan.sources if s.job.label == "lora").trainable_parameters == 294_912


def test_without_the_embeddings_size_the_whole_backbone_cannot_be_counted():
    wanted = spec(baseline=[{"method": "full", "seeds": [0]}])
    plan = compile_plan(wanted, facts(wanted, shape=encoder_shape(12, 768, 3072)))
    assert next(s for s in plan.sources if s.job.label == "full").trainable_parameters is None


@pytest.mark.parametrize(
    ("baselines", "complaint"),
    [
        ([{"method": "lora"}, {"method": "lora", "lr": 1e-3}], "named alike: lora"),
        ([{"method": "lora", "name": "source"}], '"source"'),
        ([{"method": "lora", "seeds": [1, 1]}], "listed twice: 1"),
        ([{"method": "lora", "seeds": []}], "at least 1"),
        ([{"settings": {}}], "method"),
        ([{"method": "lora", "lr": 0}], "greater than 0"),
        ([{"method": "lora", "epochs": 3}], "epochs"),
    ],
)
def test_baselines_that_make_no_sense_are_refused(baselines, complaint):
    with pytest.raises(ValidationError, match=complaint):
        spec(baseline=baselines)
