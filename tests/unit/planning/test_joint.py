"""A joint run is a step, and what each of its tasks has of it is one beside it."""

from __future__ import annotations

import pytest

from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.parameter_counts import method_costs
from adapterlab.planning.steps import StepId
from adapterlab.records import StepKind
from specs import facts, spec, task_facts

RUN = {"method": "adapter_m", "name": "mt_a", "settings": {"per_task": True}, "seeds": [0]}
HYPER = {"method": "hyperformer_pp"}


def plan_of(*runs, **changes):
    wanted = spec(**{"joint.run": list(runs or (RUN,)), **changes})
    return compile_plan(wanted, facts(wanted))


def key_of(*runs, **changes):
    (run,) = plan_of(*(runs or (RUN,)), **changes).joints
    return run.key


def test_a_run_stands_before_its_shares_and_each_has_a_key_of_its_own():
    plan = plan_of()
    (run,) = plan.joints
    shares = plan.shares_of(run.id)
    assert [step.job.task for step in shares] == ["glue/rte", "superglue/cb"]
    assert all(step.needs == (run.id,) for step in shares)
    assert len({run.key, *(step.key for step in shares)}) == 3
    assert None not in {step.key for step in plan.steps}
    place = plan.steps.index(run)
    assert plan.steps[place + 1 : place + 3] == shares


def test_every_seed_is_a_run_and_the_final_ones_are_the_default():
    plan = plan_of(HYPER)
    assert [step.job.seed for step in plan.joints] == [0, 1]
    assert len({step.key for step in plan.joints}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "joint/mt_a/seed=0",
        "joint/a%2Fb c/seed=3",
        "source/glue/rte/mt_a/seed=0",
        "study/mt_a",
        "study/a%2Fb c",
    ],
)
def test_the_identity_of_a_step_is_read_back(text):
    assert str(StepId.parse(text)) == text


def test_steps_without_joint_runs_keep_their_keys():
    without = spec()
    before = {step.id: step.key for step in compile_plan(without, facts(without)).steps}
    after = {step.id: step.key for step in plan_of().steps}
    assert before.items() <= after.items()
    assert plan_of().key == plan_of().key


@pytest.mark.parametrize(
    "changes",
    [
        {"joint.steps": 100},
        {"joint.temperature": 1.0},
        {"joint.sampler_seed": 0},
        {"joint.select_by": "metric"},
        {"joint.unselected": ["glue/rte"]},
        {"joint.caps": {"glue/rte": 10}},
        {"joint.evaluate_every": 10},
        {"data.max_length": 64},
        {"data.max_train_rows": 50},
        {"targets.tasks": ["superglue/cb", "glue/rte"]},
        {"targets.tasks": ["superglue/cb", "glue/rte", "glue/mrpc"]},
    ],
)
def test_what_decides_a_runs_result_changes_its_key(changes):
    assert key_of(**changes) != key_of()


@pytest.mark.parametrize(
    "run",
    [
        {**RUN, "lr": 1e-4},
        {**RUN, "seeds": [1]},
        {**RUN, "settings": {}},
        {**RUN, "method": "propetl_m", "settings": {}},
        {**RUN, "temperature": 1.0},
        {**RUN, "tasks": ["superglue/cb", "glue/rte"]},
    ],
)
def test_what_a_run_says_itself_changes_its_key(run):
    assert key_of(run) != key_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"joint.steps": 375_000},
        {"joint.run": [{**RUN, "name": "other"}]},
        {"joint.run": [{**RUN, "tasks": ["glue/rte", "superglue/cb"]}]},
        {"joint.run": [{**RUN, "settings": {"per_task": True, "reduction_factor": 16}}]},
        {"joint.run": [{**RUN, "lr": 3e-4}]},
        {"cluster.workers": 3},
        {"source.lr": 1e-5},
    ],
)
def test_names_places_and_spelled_out_defaults_do_not(changes):
    assert key_of(**changes) == key_of()


def test_a_key_waits_for_every_task():
    wanted = spec(**{"joint.run": [RUN]})
    known = facts(wanted, **{"superglue/cb": task_facts("superglue/cb", reason="not at hand")})
    plan = compile_plan(wanted, known)
    assert [step.key for step in (*plan.joints, *plan.shares)] == [None] * 3
    assert plan.key is None


def test_tasks_that_a_run_has_not_are_none_of_its_caps():
    plan = plan_of(
        RUN,
        {**RUN, "name": "two", "tasks": ["glue/rte", "glue/mrpc"]},
        **{"joint.caps": {"superglue/cb": 5}, "joint.unselected": ["superglue/cb"]},
    )
    one, two = (step.job.training for step in plan.joints)
    assert (one.caps, one.unselected) == ({"superglue/cb": 5}, ("superglue/cb",))
    assert (two.caps, two.unselected) == ({}, ())


def test_parameters_are_counted_once_for_all_tasks_and_rows_for_the_run_alone():
    plan = plan_of({**HYPER, "seeds": [0]}, **{"joint.steps": 10})
    (run,) = plan.joints
    of = {cost.name: cost for cost in method_costs(plan)}["hyperformer_pp"]
    assert (
        of.one == of.every == run.trainable_parameters == 5_095_024 - 6 * 512
    )  # of eight tasks, here are two
    assert run.train_rows == 320
    assert [step.train_rows for step in plan.shares] == [0, 0]


def test_a_share_is_a_row_as_a_baseline_is():
    wanted = spec(**{"joint.run": [RUN]})
    rows = [row for row in baseline_rows(wanted) if row.label == "mt_a"]
    ids = {step.id for step in compile_plan(wanted, facts(wanted)).shares}
    assert [row.target for row in rows] == ["glue/rte", "superglue/cb"]
    assert {one for row in rows for one in row.steps.values()} == ids


# -- pools of them -----------------------------------------------------------------------------------

POOLED = {**RUN, "tasks": ["glue/rte", "glue/mrpc", "superglue/cb"]}


def test_a_pool_takes_the_shares_of_a_runs_first_seed_and_trains_no_other():
    plan = plan_of({**POOLED, "seeds": [4, 5]}, **{"pool.training": "mt_a", "combiner.kind": "adapterfusion"})
    assert plan.sources == ()
    first = {step.job.task: step for step in plan.shares if step.job.seed == 4}
    for study in plan.studies:
        assert [one.key for one in study.job.pool] == [first[one.task].key for one in study.job.pool]
        assert study.job.pool[-1].task == study.job.task
        assert study.job.adapter.method == "pfeiffer"
        assert set(study.needs) == {step.id for step in first.values()}


def test_a_list_makes_every_combiner_a_row_for_each():
    plan = plan_of(POOLED, **{"pool.training": ["single", "mt_a"], "combiner.kind": "adapterfusion"})
    labels = [study.job.label for study in plan.studies if study.job.task == "glue/rte"]
    assert labels == ["adapterfusion", "adapterfusion over mt_a"]
    alone, together = (study for study in plan.studies if study.job.task == "glue/rte")
    assert alone.key != together.key
    single = plan_of(POOLED, **{"combiner.kind": "adapterfusion"})
    assert alone.key == next(one for one in single.studies if one.job.task == "glue/rte").key
    assert len(plan.of_kind(StepKind.SOURCE)) == 6


# -- searched ------------------------------------------------------------------------------------------

RATES = {"low": 1e-4, "high": 1e-2, "log": True}
SEARCHED = {"method": "adapter_m", "name": "tuned", "lr": RATES}


def test_one_study_chooses_for_the_runs_of_all_seeds():
    plan = plan_of(SEARCHED)
    (study,) = (step for step in plan.searches if step.job.label == "tuned")
    assert str(study.id) == "study/tuned"
    assert [run.needs for run in plan.joints] == [(study.id,), (study.id,)]
    assert plan.steps.index(study) < plan.steps.index(plan.joints[0])
    assert [run.job.study for run in plan.joints] == [study.key, study.key]
    assert len({study.key, *(run.key for run in plan.joints)}) == 3
    assert {row.study for row in baseline_rows(spec(**{"joint.run": [SEARCHED]}))} == {study.id}


@pytest.mark.parametrize(
    "changes",
    [
        {"joint.run": [{**SEARCHED, "lr": {**RATES, "high": 2e-2}}]},
        {"joint.run": [{**SEARCHED, "temperature": {"choices": [1, 10]}}]},
        {"joint.run": [{**SEARCHED, "settings": {"reduction_factor": {"choices": [8, 16]}}}]},
        {"joint.batch_size": {"low": 8, "high": 32}},
        {"search.trials": 5},
        {"search.sampler": "random"},
        {"search.seed": 3},
        {"search.seeds_per_trial": 2},
        {"joint.select_by": "metric"},
    ],
)
def test_what_decides_a_search_changes_the_keys_of_its_study_and_of_its_runs(changes):
    before, after = plan_of(SEARCHED), plan_of(SEARCHED, **changes)
    assert {run.key for run in before.joints}.isdisjoint(run.key for run in after.joints)
    (one,), (other,) = (
        [step.key for step in plan.searches if step.job.label == "tuned"] for plan in (before, after)
    )
    assert one != other


def test_parameters_are_not_known_where_a_setting_that_makes_them_is_searched():
    wanted = {**SEARCHED, "settings": {"reduction_factor": {"choices": [8, 16]}}}
    assert plan_of(SEARCHED).joints[0].trainable_parameters is not None
    assert plan_of(wanted).joints[0].trainable_parameters is None
    assert all(share.job.searched for share in plan_of(wanted).shares)


def test_a_range_of_one_value_is_one_trial():
    (study,) = (
        step
        for step in plan_of({**SEARCHED, "lr": {"choices": [1e-3]}}).searches
        if step.job.label == "tuned"
    )
    assert study.job.search.trials == 1
