"""What is searched of an adapter's training is a study; the adapters it chooses for are trained after it."""

from __future__ import annotations

from typing import Any

from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import StepId
from adapterlab.records import StepKind
from adapterlab.worker.orders import from_json, to_json
from specs import facts, spec

RATE = {"low": 1e-4, "high": 1e-2, "log": True}
LORA: dict[str, Any] = {"method": "lora", "lr": RATE, "settings": {"r": {"low": 2, "high": 8}}}


def plan_of(*baselines: Any, **changes: Any) -> Plan:
    wanted = spec(baseline=list(baselines), **changes)
    return compile_plan(wanted, facts(wanted))


def keys(plan: Plan) -> dict[str, str | None]:
    return {str(step.id): step.key for step in plan.steps}


def test_a_searched_baseline_is_one_study_a_target_which_its_runs_of_every_seed_need():
    plan = plan_of(LORA)
    searches = [step for step in plan.studies if step.job.method is not None]
    assert [str(step.id) for step in searches] == ["study/glue/rte/lora", "study/superglue/cb/lora"]
    assert [study.job.search.trials for study in searches] == [16, 16]
    for study in searches:
        assert [step.id.seed for step in plan.adapters_of(study.id)] == [0, 1]
        assert study.job.task == study.id.task
        assert not study.needs
        assert not plan.finals_of(study.id)
        places = [plan.steps.index(step) for step in (study, *plan.adapters_of(study.id))]
        assert places == sorted(places)
    assert {step.job.label for step in plan.combinations} == {"scalearn", "scalearn_uniform"}
    assert len({step.key for step in plan.steps}) == len(plan.steps)


def test_its_row_names_the_study_and_a_fixed_one_names_none():
    rows = baseline_rows(spec(baseline=[LORA, {"method": "pfeiffer"}]))
    found = {(row.label, row.target): row.study for row in rows}
    assert found["lora", "glue/rte"] == StepId.parse("study/glue/rte/lora")
    assert found["pfeiffer", "glue/rte"] is None


def test_a_search_moves_the_keys_of_nothing_else():
    plain, beside = keys(plan_of()), keys(plan_of(LORA))
    assert plain == {name: beside[name] for name in plain}


def test_the_key_holds_the_dimensions_the_fixed_settings_and_the_budget():
    base = keys(plan_of(LORA))["study/glue/rte/lora"]
    for changed in (
        {**LORA, "lr": {**RATE, "high": 2e-2}},
        {**LORA, "lr": 1e-3},
        {**LORA, "settings": {"r": {"low": 2.0, "high": 8.0}}},
        {**LORA, "settings": {**LORA["settings"], "alpha": 4.0}},
        {**LORA, "max_epochs": 3},
    ):
        assert keys(plan_of(changed))["study/glue/rte/lora"] != base
    assert keys(plan_of(LORA, **{"search.trials": 5}))["study/glue/rte/lora"] != base
    assert keys(plan_of({**LORA, "name": "other"}))["study/glue/rte/other"] == base


def test_a_value_that_is_searched_away_is_in_no_key():
    study, run = "study/glue/rte/lora", "source/glue/rte/lora/seed=0"
    one, other = plan_of(LORA, **{"source.lr": 1e-3}), plan_of(LORA, **{"source.lr": 1e-2})
    assert (keys(one)[study], keys(one)[run]) == (keys(other)[study], keys(other)[run])
    wide = plan_of({**LORA, "settings": {"r": {"low": 1, "high": 8}}})
    assert keys(wide)[run] != keys(one)[run], "its run is of another study"


def test_more_trials_of_it_are_the_same_search():
    few, many = plan_of(LORA, **{"search.trials": 4}), plan_of(LORA, **{"search.trials": 8})
    (one, other) = (
        next(step for step in plan.studies if step.id.label == "lora").job for plan in (few, many)
    )
    assert one.search_key == other.search_key
    assert (one.search.trials, other.search.trials) == (4, 8)


def test_the_pool_is_searched_once_a_source_and_its_studies_follow():
    searched = {"source.lr": RATE, "adapter.settings": {"reduction_factor": {"choices": [4, 16]}}}
    plan, fixed = plan_of(**searched), plan_of()
    sources = [step for step in plan.studies if step.job.method is not None]
    assert [str(step.id) for step in sources] == [
        "study/glue/rte/source",
        "study/glue/mrpc/source",
        "study/superglue/cb/source",
    ]
    assert [step.needs for step in plan.sources] == [(study.id,) for study in sources]
    assert all(step.trainable_parameters is None for step in plan.sources), "the width is not known before"
    assert all(step.job.searched_pool for step in plan.combinations)
    assert keys(plan).keys() >= keys(fixed).keys()
    assert not set(keys(fixed).values()) & set(keys(plan).values())


def test_a_baseline_that_is_the_pools_own_shares_its_study_and_its_run():
    searched = {"source.lr": RATE}
    plan = plan_of({"method": "pfeiffer", "name": "own"}, **searched)
    labels = [step.id.label for step in plan.studies if step.job.method is not None]
    assert labels == ["source"] * 3
    own = [str(step.id) for step in plan.sources if step.job.label == "own"]
    assert own == ["source/glue/rte/own/seed=1", "source/superglue/cb/own/seed=1"]
    assert [
        row.study for row in baseline_rows(spec(baseline=[{"method": "pfeiffer", "name": "own"}], **searched))
    ] == [
        StepId(StepKind.STUDY, "glue/rte", "source"),
        StepId(StepKind.STUDY, "superglue/cb", "source"),
    ]


def test_runs_whose_rows_are_drawn_for_each_seed_share_one_study():
    few = {"data.few_shot": 16, "data.few_shot_draw": "per_seed"}
    plan = plan_of(LORA, **few)
    (study,) = [step for step in plan.studies if str(step.id) == "study/glue/rte/lora"]
    assert study.job.rows.draw == 0
    runs = plan.adapters_of(study.id)
    assert [step.job.rows.draw for step in runs] == [0, 1]
    assert len({step.key for step in runs}) == 2


def test_training_of_combiners_is_searched_with_their_own_dimensions():
    searched = {"transfer": {"batch_size": {"choices": [16, 32]}, "max_epochs": {"low": 2, "high": 8}}}
    plan, fixed = plan_of(**searched), plan_of()
    for study, before in zip(plan.combinations, fixed.combinations, strict=True):
        assert list(study.job.spaces) == [*before.job.spaces, "max_epochs", "batch_size"]
        assert study.key != before.key
        assert study.train_rows == 16 * 8 * 100
    other = plan_of(transfer={**searched["transfer"], "weight_decay": 0.1})
    assert other.combinations[0].key != plan.combinations[0].key


def test_the_jobs_travel_to_a_worker_with_whole_numbers_whole():
    plan = plan_of({**LORA, "weight_decay": {"low": 0, "high": 1}}, **{"source.lr": RATE})
    for step in plan.steps:
        assert from_json(type(step.job), to_json(step.job)) == step.job


def test_without_data_nothing_of_a_search_has_a_key():
    wanted = spec(baseline=[LORA])
    from specs import task_facts

    plan = compile_plan(wanted, facts(wanted, **{"glue/rte": task_facts("glue/rte", reason="not at hand")}))
    assert keys(plan)["study/glue/rte/lora"] is None
    assert keys(plan)["source/glue/rte/lora/seed=0"] is None
    assert keys(plan)["study/superglue/cb/lora"] is not None


def test_several_runs_a_trial_are_another_search_that_trains_as_many_times():
    base = plan_of(LORA)
    several = plan_of(LORA, **{"search.seeds_per_trial": 2})
    folded = plan_of(LORA, **{"search.folds": 5})
    found = {plan.studies[0].job.search_key for plan in (base, several, folded)}
    assert len(found) == 3
    rows = [plan.studies[0].train_rows for plan in (base, several, folded)]
    assert rows == [rows[0], 2 * rows[0], 4 * rows[0]], "each of five folds trains on four fifths"
    one = plan_of({"method": "lora", "lr": {"choices": [1e-3]}}, **{"search.folds": 5}).studies[0]
    assert (one.job.search.trials, one.job.search.runs) == (1, 1), "there is nothing to choose"
