"""What one task has of its own: its training and its seeds, and nobody else's."""

from __future__ import annotations

import pytest

from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.plan import Plan
from adapterlab.records import StepKind
from specs import facts, spec

CB = {"per_task": {"superglue/cb": {"max_epochs": 3, "patience": 3, "seeds": [4]}}}


def plan_of(**changes) -> Plan:
    wanted = spec(**changes)
    return compile_plan(wanted, facts(wanted))


def keys(plan: Plan) -> dict[str, str]:
    return {step.title: step.key for step in plan.steps}


def test_a_task_trains_by_its_own_bounds_and_the_others_keep_their_keys():
    before, after = plan_of(**{"pool.target": "exclude"}), plan_of(**{"pool.target": "exclude"}, **CB)
    by_title = {step.title: step for step in after.steps}
    source = by_title["source · cb · seed 0"].job.training
    study = by_title["cb · scalearn"].job.recipe("scalearn").training
    assert (source.max_epochs, source.patience) == (study.max_epochs, study.patience) == (3, 3)
    old, new = keys(before), keys(after)
    assert new["source · rte · seed 0"] == old["source · rte · seed 0"]
    assert new["source · cb · seed 0"] != old["source · cb · seed 0"]
    # the pool of cb is rte and mrpc, trained as before; only its own training differs
    assert new["cb · scalearn"] != old["cb · scalearn"]
    # the pool of rte holds cb's adapter, which is another one now
    assert new["rte · scalearn"] != old["rte · scalearn"]


def test_what_repeats_the_defaults_changes_no_key():
    same = {"per_task": {"superglue/cb": {"max_epochs": 30, "seeds": [0, 1]}}}
    assert keys(plan_of(**same)) == keys(plan_of())


def test_seeds_of_a_task_are_those_of_its_final_runs_and_baselines():
    changes = {**CB, "baseline": [{"method": "full"}, {"method": "lora", "seeds": [7]}]}
    plan = plan_of(**changes)
    finals = [step.title for step in plan.of_kind(StepKind.TRANSFER)]
    assert [one for one in finals if one.startswith("cb · scalearn ·")] == ["cb · scalearn · final · seed 4"]
    assert len([one for one in finals if one.startswith("rte · scalearn ·")]) == 2
    rows = {(row.label, row.target): tuple(row.steps) for row in baseline_rows(spec(**changes))}
    assert rows["full", "superglue/cb"] == (4,)
    assert rows["full", "glue/rte"] == (0, 1)
    assert rows["lora", "superglue/cb"] == (7,)


def test_a_combiner_s_own_training_comes_before_a_task_s():
    changes = {
        **CB,
        "combiner": {
            "kind": ["scalearn", "adapterfusion"],
            "per_kind": {"adapterfusion": {"transfer": {"patience": 1}}},
        },
    }
    by_title = {step.title: step for step in plan_of(**changes).steps}
    training = by_title["cb · adapterfusion"].job.recipe("adapterfusion").training
    assert (training.max_epochs, training.patience) == (3, 1)


@pytest.mark.parametrize("draw", ["fixed", "per_seed"])
def test_few_rows_of_a_task_train_by_few_shot_and_its_own_seeds(draw):
    changes = {"data.few_shot": 8, "data.few_shot_draw": draw, "few_shot.patience": 2, **CB}
    plan = plan_of(**changes)
    own = [step for step in plan.of_kind(StepKind.SOURCE) if step.title.startswith("source · cb · 8 rows")]
    assert {step.job.training.patience for step in own} == {2}
    assert {step.job.training.max_epochs for step in own} == {3}
    expected = {0} if draw == "fixed" else {0, 4}  # the study's own, and that of the final run
    assert {step.job.seed for step in own} == expected
