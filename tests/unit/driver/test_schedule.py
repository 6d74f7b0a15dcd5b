"""What runs when: sources first, studies when their sources are there, failures block what needs them."""

from __future__ import annotations

from pathlib import Path

from adapterlab.catalog.records import Claim
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver import schedule
from adapterlab.home import stores
from adapterlab.planning.compile import compile_plan
from adapterlab.worker.orders import BackboneFiles, Context
from specs import facts, spec

SPEC = spec()
PLAN = compile_plan(SPEC, facts(SPEC))
ALL = {step.key for step in PLAN.steps}
SOURCES, STUDIES, FINALS = PLAN.sources, PLAN.studies, PLAN.finals
CONTEXT = Context(
    sweep_key="k", name="test", stores=stores(), experiment="x",
    backbone=BackboneFiles("/models/x", "roberta", "d", "float32"), library=TaskLibrary(Path("/cache")),
    max_length=128, max_train_rows=None, lanes=None, threads=1, gpu=False,
)  # fmt: skip


def held_by(keys):
    return lambda key: Claim(key, 1, "me") if key in keys else None


def test_sources_are_dealt_by_size_to_the_workers_there_are():
    dealt = schedule.source_orders(SOURCES, held_by(ALL), CONTEXT, groups=2)
    assert [len(order.sources) for order in dealt] == [2, 1]
    assert len(schedule.source_orders(SOURCES[:1], held_by(ALL), CONTEXT, groups=8)) == 1
    names = [one.job.task for order in dealt for one in order.sources]
    assert sorted(names) == sorted(SPEC.pool.tasks)


def test_what_cannot_share_a_pass_is_dealt_last():
    wanted = spec(
        baseline=[{"method": "full", "seeds": [0]}, {"method": "lora", "seeds": [0]}],
        **{"targets.tasks": ["glue/rte"]},
    )
    steps = compile_plan(wanted, facts(wanted)).sources
    (order,) = schedule.source_orders(steps, held_by({one.key for one in steps}), CONTEXT, groups=1)
    methods = [one.job.adapter.method for one in order.sources]
    assert methods[-1] == "full"
    assert "lora" in methods[:-1]


def test_joint_runs_are_dealt_as_sources_are_and_only_with_all_their_missing_shares():
    runs = [
        {"method": "full_m", "seeds": [0]},
        {"method": "adapter_m", "seeds": [0, 1]},
        {"method": "hyperformer_pp", "seeds": [0]},
    ]
    wanted = spec(**{"joint.run": runs})
    plan = compile_plan(wanted, facts(wanted))
    keys = {step.key for step in plan.steps}

    def orders(held, groups):
        return schedule.joint_orders(plan, plan.joints, keys, held_by(held), CONTEXT, groups=groups)

    (whole,) = orders(keys, groups=1)
    assert [one.run.job.method for one in whole.runs][-1] == "full_m"
    assert set(whole.keys) == {step.key for step in (*plan.joints, *plan.shares)}
    assert sorted(len(order.runs) for order in orders(keys, groups=2)) == [2, 2]
    (share, *_) = plan.shares_of(plan.joints[0].id)
    assert plan.joints[0].key not in {key for order in orders(keys - {share.key}, 1) for key in order.keys}


def test_a_study_waits_for_every_source_it_reads():
    missing = ALL - {SOURCES[0].key, SOURCES[1].key}
    assert schedule.runnable_studies(PLAN, missing, held_by(ALL)) == []
    assert schedule.runnable_studies(PLAN, missing, held_by(ALL), coming={SOURCES[2].key}) == list(STUDIES)
    missing -= {SOURCES[2].key}
    assert schedule.runnable_studies(PLAN, missing, held_by(ALL)) == list(STUDIES)


def test_only_what_is_held_runs():
    missing = ALL - {step.key for step in SOURCES}
    assert schedule.runnable_studies(PLAN, missing, held_by({STUDIES[1].key})) == [STUDIES[1]]
    assert schedule.runnable_sources(PLAN, ALL, held_by({SOURCES[2].key})) == [SOURCES[2]]


def test_a_complete_study_with_a_missing_final_run_is_taken_up_again():
    final = FINALS[1]
    missing = {final.key}
    (study,) = schedule.runnable_studies(PLAN, missing, held_by(missing))
    (order,) = schedule.study_orders(PLAN, [study], missing, held_by(missing), CONTEXT)
    assert order.claim is None
    assert [one.claim.key for one in order.finals] == [final.key]


def test_what_needs_a_failed_step_is_blocked_with_the_reason():
    blocked = schedule.blocked(PLAN, {SOURCES[2].key: "it diverged"})
    assert blocked.keys() == {step.key for step in (*STUDIES, *FINALS)}
    assert blocked[STUDIES[0].key] == "needs source · cb · seed 0, which failed"
    blocked = schedule.blocked(PLAN, {STUDIES[0].key: "no trial completed"})
    assert blocked.keys() == {FINALS[0].key, FINALS[1].key}


def test_runs_whose_setting_is_searched_go_with_their_study_and_after_it_as_sources():
    wanted = spec(baseline=[{"method": "lora", "lr": {"low": 1e-4, "high": 1e-2}}])
    plan = compile_plan(wanted, facts(wanted))
    missing = {step.key for step in plan.steps}
    held = held_by(missing)
    assert {step.job.label for step in schedule.runnable_sources(plan, missing, held)} == {"source"}
    ready = schedule.runnable_studies(plan, missing, held)
    assert {study.job.label for study in ready} == {"lora"}
    orders = schedule.study_orders(plan, ready, missing, held, CONTEXT)
    assert [[one.job.seed for one in order.adapters] for order in orders] == [[0, 1], [0, 1]]
    assert all(set(order.keys) == {order.key, *(one.claim.key for one in order.adapters)} for order in orders)
    missing -= {study.key for study in ready}
    assert not [one for one in schedule.runnable_studies(plan, missing, held) if one.job.method]
    left = schedule.runnable_sources(plan, missing, held)
    assert [step.job.label for step in left].count("lora") == 4


def test_what_a_failed_search_should_have_chosen_is_blocked_and_so_is_what_combines_it():
    wanted = spec(**{"source.lr": {"low": 1e-4, "high": 1e-2}})
    plan = compile_plan(wanted, facts(wanted))
    study = next(step for step in plan.studies if str(step.id) == "study/glue/mrpc/source")
    lost = schedule.blocked(plan, {study.key: "no trial completed"})
    titles = {step.title for step in plan.steps if step.key in lost}
    assert {"source · mrpc · seed 0", "rte · scalearn", "rte · scalearn · final · seed 0"} <= titles
    assert "source · rte · seed 0" not in titles


def test_a_selection_waits_for_what_it_compares_and_its_studies_wait_for_it():
    wanted = spec(
        **{
            "pool.size": 2,
            "pool.rule": ["text_similarity", "adapter_similarity"],
            "combiner.kind": "scalearn",
        }
    )
    plan = compile_plan(wanted, facts(wanted))
    every = {step.key for step in plan.steps}
    sources = {step.key for step in plan.sources}
    texts = [step for step in plan.selections if step.job.rule == "text_similarity"]

    def ready(missing):
        selections = schedule.runnable_selections(plan, missing, held_by(every))
        studies = schedule.runnable_studies(plan, missing, held_by(every))
        return {step.id for step in selections}, {step.id for step in studies}

    assert ready(every) == ({step.id for step in texts}, set())
    assert ready(every - sources) == ({step.id for step in plan.selections}, set())
    of_texts = {step.id for step in plan.studies if step.job.selection.rule == "text_similarity"}
    assert ready(every - sources - {step.key for step in texts})[1] == of_texts
    # With sources that come in the same run a study still waits for its selection.
    coming = schedule.runnable_studies(plan, every, held_by(every), coming=sources)
    assert coming == []
    orders = schedule.selection_orders(plan.selections, held_by({texts[0].key}), CONTEXT)
    assert [order.keys for order in orders] == [(texts[0].key,)]


def test_two_rules_that_select_the_same_sources_are_one_study_in_work():
    wanted = spec(**{"pool.size": [1, 3], "pool.rule": ["order", "random"], "combiner.kind": "scalearn"})
    plan = compile_plan(wanted, facts(wanted))
    keys = [step.key for step in plan.studies]
    assert len(set(keys)) < len(keys)
    missing = set(keys)
    ready = schedule.runnable_studies(plan, missing, held_by(missing))
    assert sorted(str(step.key) for step in ready) == sorted(map(str, missing))


def test_one_key_under_two_names_is_trained_once():
    wanted = spec(
        **{
            "data.few_shot": [100, "all"],  # which is all that each task has
            "joint.run": [],
            "combiner.kind": "scalearn",
        }
    )
    plan = compile_plan(wanted, facts(wanted))
    keys = {step.key for step in plan.steps}
    ready = schedule.runnable_sources(plan, keys, held_by(keys))
    assert len(plan.sources) > len(ready) == len({step.key for step in plan.sources})
    studies = schedule.runnable_studies(plan, keys - {step.key for step in ready}, held_by(keys))
    assert len(plan.studies) > len(studies) == len({step.key for step in plan.studies})
    alike = [{"method": "adapter_m", "seeds": [0]}, {"method": "adapter_m", "name": "again", "seeds": [0]}]
    wanted = spec(**{"joint.run": alike})
    plan = compile_plan(wanted, facts(wanted))
    keys = {step.key for step in plan.steps}
    assert [step.job.label for step in schedule.runnable_joints(plan, keys, held_by(keys))] == ["adapter_m"]


def test_joint_runs_wait_for_the_study_that_chooses_their_setting():
    rates = {"low": 1e-4, "high": 1e-2}
    wanted = spec(**{"joint.run": [{"method": "adapter_m", "lr": rates, "seeds": [0, 1]}]})
    plan = compile_plan(wanted, facts(wanted))
    keys = {step.key for step in plan.steps}
    (study,) = (step for step in plan.searches if step.job.label == "adapter_m")
    assert schedule.runnable_joints(plan, keys, held_by(keys)) == []
    assert study in schedule.runnable_studies(plan, keys, held_by(keys))
    assert len(schedule.runnable_joints(plan, keys - {study.key}, held_by(keys))) == 2
    lost = schedule.blocked(plan, {study.key: "no trial completed"})
    assert {step.key for step in (*plan.joints, *plan.shares)} <= set(lost)


def test_a_search_is_idle_once_no_study_in_it_is_ours():
    searches = {str(study.job.search_key) for study in STUDIES}
    assert schedule.idle_searches(PLAN, held_by(ALL | searches)) == set()
    kept, *lost = STUDIES
    mine = {str(kept.key), *searches}
    assert schedule.idle_searches(PLAN, held_by(mine)) == {str(study.job.search_key) for study in lost}
    assert schedule.idle_searches(PLAN, held_by({str(kept.key)})) == set()


def test_a_joint_run_of_which_another_process_has_a_part_is_given_back_whole():
    """Else each would wait for what the other has: a run is done with all its shares only."""
    wanted = spec(
        **{"joint.run": [{"method": "adapter_m", "seeds": [0]}, {"method": "full_m", "seeds": [0]}]}
    )
    plan = compile_plan(wanted, facts(wanted))
    keys = {step.key for step in plan.steps}
    run, other = plan.joints
    shares = [share.key for share in plan.shares_of(run.id)]
    assert schedule.parted_joints(plan, keys, held_by(keys)) == set()
    assert schedule.parted_joints(plan, keys, held_by({other.key})) == {other.key}
    mine = keys - {shares[0]}
    assert schedule.parted_joints(plan, keys, held_by(mine)) == {run.key, *shares[1:]}
    assert schedule.parted_joints(plan, keys - {shares[0]}, held_by(mine)) == set()
