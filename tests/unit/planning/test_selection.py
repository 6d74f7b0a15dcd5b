"""Selections of sources are steps of their own: studies of every size share them, and no order in a spec moves them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.catalog.records import RankedSource, SelectionRecord
from adapterlab.errors import TrainingError, UsageError
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.matrix import plan_matrix
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import AdapterRecipe, ExistingAdapter, PoolMember, SelectionJob, StudyJob
from adapterlab.records import State
from adapterlab.worker.chosen import as_selected
from adapterlab.worker.orders import from_json, to_json
from specs import facts, spec, task_facts

TASKS = ("glue/rte", "glue/mrpc", "superglue/cb", "glue/qnli", "glue/sst2")
RULES = ("text_similarity", "adapter_similarity", "forward_selection")


def selecting(rule: Any, size: Any = (2, 4), **changes: Any) -> Plan:
    wanted = spec(
        **{
            "pool.tasks": list(TASKS),
            "pool.rule": rule,
            "pool.size": list(size) if isinstance(size, tuple) else size,
            "combiner.kind": "scalearn",
            "targets.tasks": ["glue/rte"],
            **changes,
        }
    )
    return compile_plan(wanted, facts(wanted))


def keys(plan: Plan) -> dict[str, str | None]:
    return {str(step.id): step.key for step in plan.steps}


@pytest.mark.parametrize("rule", RULES)
def test_studies_of_every_size_need_one_selection_and_no_two_have_one_key(rule):
    plan = selecting(rule)
    (selection,) = plan.selections
    two, four = plan.combinations
    assert [selection.id in study.needs for study in (two, four)] == [True, True]
    assert plan.steps.index(selection) < plan.steps.index(two)
    assert (two.job.label, four.job.label) == tuple(
        f"scalearn {count} sources by {rule.replace('_', ' ')}" for count in (2, 4)
    )
    assert [study.job.selection.count for study in (two, four)] == [1, 3]
    assert len({step.key for step in plan.steps}) == len(plan.steps)
    # Parameters are those of as many sources as are combined, not of all there are to choose from.
    one = two.trainable_parameters // 2
    assert four.trainable_parameters == 4 * one


def test_texts_need_no_adapter_and_serve_every_combiner_and_pool():
    plan = selecting(
        "text_similarity",
        **{"combiner.kind": ["scalearn", "scalearn_uniform"], "source.seed": [0, 1]},
    )
    (selection,) = plan.selections
    assert selection.needs == ()
    assert selection.train_rows == 0
    assert {study.job.selection.key for study in plan.combinations} == {selection.key}
    assert len({study.key for study in plan.combinations}) == 2 * 2 * 2


def test_adapters_are_compared_once_a_pool_and_combined_once_a_pool_and_combiner():
    changes: dict[str, Any] = {"combiner.kind": ["scalearn", "scalearn_uniform"], "source.seed": [0, 1]}
    assert [str(step.id) for step in selecting("adapter_similarity", **changes).selections] == [
        f"selection/glue/rte/adapter_similarity/source_seed={seed}" for seed in (0, 1)
    ]
    forward = selecting("forward_selection", **changes)
    assert sorted(str(step.id) for step in forward.selections) == [
        f"selection/glue/rte/forward_selection with {kind}/source_seed={seed}"
        for kind, seed in product(("scalearn", "scalearn_uniform"), (0, 1))
    ]
    assert all(len(step.needs) == len(TASKS) for step in forward.selections)


@given(st.permutations(TASKS), st.sampled_from(RULES))
def test_no_order_of_the_pool_moves_a_key(tasks, rule):
    listed = keys(selecting(rule))
    assert keys(selecting(rule, **{"pool.tasks": list(tasks)})) == listed


@pytest.mark.parametrize("rule", RULES)
def test_a_selection_moves_no_key_of_a_spec_without_one(rule):
    plain = keys(selecting("order", (2, 4)))
    mixed = keys(selecting(["order", rule], (2, 4)))
    renamed = {name.replace(" sources", " sources by order"): key for name, key in plain.items()}
    assert renamed == {name: key for name, key in mixed.items() if name in renamed}


def test_what_a_rule_looks_at_is_in_its_key():
    def of(rule: str, **changes: Any) -> str | None:
        return selecting(rule, **changes).selections[0].key

    text = of("text_similarity")
    assert of("text_similarity", size=(2, 3)) == text
    assert of("text_similarity", **{"source.max_epochs": 3}) == text
    assert of("text_similarity", **{"pool.selection": {"max_rows": 7}}) != text
    assert of("text_similarity", **{"pool.tasks": list(TASKS[:-1])}) != text
    assert of("adapter_similarity", **{"source.max_epochs": 3}) != of("adapter_similarity")
    assert of("adapter_similarity", size=(2, 3)) == of("adapter_similarity")
    forward = of("forward_selection")
    assert of("forward_selection", size=(2, 3)) != forward
    for changed in (
        {"pool.selection": {"max_epochs": 2}},
        {"search.seed": 5},
        {"search.start_from": {"lr": 4e-3}},
        {"transfer.batch_size": 7},
    ):
        assert of("forward_selection", **changed) != forward, changed
    assert of("forward_selection", **{"search.trials": 3}) == forward


def test_forward_selection_trains_at_the_start_setting_or_in_the_middle_of_what_is_searched():
    wide = {
        "search.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "search.dropout": {"choices": [0.0, 0.1, 0.5]},
    }
    changes: dict[str, Any] = {**wide, "pool.selection": {"max_epochs": 3}, "transfer.max_epochs": 20}
    (step,) = selecting("forward_selection", **changes).selections
    assert step.job.trial.setting["lr"] == pytest.approx(1e-3)
    assert step.job.trial.setting["dropout"] == 0.1
    assert step.job.trial.combiner.training.max_epochs == 3
    # 4 + 3 + 2 sets of sources, three epochs of 100 rows each
    assert step.train_rows == 9 * 3 * 100
    (started,) = selecting("forward_selection", **changes, **{"search.start_from": {"lr": 4e-3}}).selections
    assert (started.job.trial.setting["lr"], started.job.trial.setting["dropout"]) == (4e-3, 0.1)
    searched = {"low": 4, "high": 8}
    (of_range,) = selecting("forward_selection", **{**wide, "transfer.max_epochs": searched}).selections
    assert of_range.job.trial.combiner.training.max_epochs == 6
    assert "max_epochs" not in of_range.job.trial.setting


def test_a_pool_of_the_targets_own_alone_selects_nothing():
    plan = selecting("text_similarity", (1, 3))
    own, three = plan.combinations
    assert own.job.selection is None
    assert [member.task for member in own.job.pool] == ["glue/rte"]
    assert own.key == selecting("order", (1, 3)).combinations[0].key
    assert three.job.selection is not None


def test_few_rows_of_the_target_are_what_its_texts_are():
    changes: dict[str, Any] = {"data.few_shot": [8, "all"]}
    few, whole = selecting("text_similarity", **changes).selections
    assert few.job.rows.train == 8
    assert whole.job.rows is None
    assert few.key != whole.key


def test_texts_of_an_adapter_that_exists_have_to_be_at_hand():
    wanted = spec(**{"pool.rule": "text_similarity", "pool.size": 2, "targets.tasks": ["glue/rte"]})
    recipe = AdapterRecipe("pfeiffer", 1, {"reduction_factor": 16})
    stranger = ExistingAdapter("catalog:aaaa", "mine/unknown", None, "d" * 64, recipe, there=True)
    known = facts(wanted)
    with pytest.raises(UsageError, match=r"training texts of tasks, and those of .* \(mine/unknown\)"):
        compile_plan(wanted, replace(known, existing=(stranger,)))
    rows = task_facts("mine/unknown")
    told = replace(
        known,
        tasks={**known.tasks, "mine/unknown": rows},
        existing=(replace(stranger, task_digest=rows.content_digest),),
    )
    assert compile_plan(wanted, told).selections[0].key is not None


def test_the_plan_at_a_glance_has_a_row_for_each_selection():
    plan = selecting(["text_similarity", "forward_selection"])
    rows = plan_matrix(plan, ["glue/rte"], (), state=lambda _: State.PENDING, seconds=None)
    assert [(row.name, row.kind) for row in rows][1:3] == [
        ("sources by text similarity", "selection"),
        ("sources by forward selection with scalearn", "selection"),
    ]
    assert rows[1].targets["glue/rte"].left == 1


@pytest.mark.parametrize("rule", RULES)
def test_a_job_reaches_a_worker_as_it_is(rule):
    (step,) = selecting(rule).selections
    assert from_json(SelectionJob, to_json(step.job)) == step.job
    study = selecting(rule).combinations[0].job
    assert from_json(StudyJob, to_json(study)) == study


# -- what a selection makes of a pool -------------------------------------------------------------


def study_and_order(rule: str, scores: dict[str, float]) -> tuple[list[StudyJob], SelectionRecord]:
    plan = selecting(rule)
    by_key = rule != "text_similarity"
    members: dict[str, PoolMember] = {one.task: one for one in plan.selections[0].job.candidates}
    order = sorted(scores, key=lambda task: -scores[task])
    record = SelectionRecord(
        key=str(plan.selections[0].key),
        task="glue/rte",
        task_digest="r" * 64,
        backbone_digest="a" * 64,
        rule=rule,
        settings={},
        sources=tuple(
            RankedSource(task, scores[task], members[task].key if by_key else None) for task in order
        ),
        metric="cosine",
        value=1.0,
    )
    return [study.job for study in plan.combinations], record


@given(
    st.permutations(TASKS[1:]).map(lambda tasks: {task: 1 - place / 10 for place, task in enumerate(tasks)}),
    st.sampled_from(RULES),
)
def test_the_best_are_taken_in_their_order_and_a_smaller_pool_is_part_of_every_greater_one(scores, rule):
    jobs, record = study_and_order(rule, scores)
    best = sorted(scores, key=lambda task: -scores[task])
    two, four = ([member.task for member in as_selected(job, record).pool] for job in jobs)
    assert two == [best[0], "glue/rte"]
    assert four == [*best[:3], "glue/rte"]
    assert set(two) <= set(four)
    again = as_selected(as_selected(jobs[1], record), record)
    assert [member.task for member in again.pool] == four


def test_a_selection_that_is_gone_or_too_short_is_said_so():
    jobs, record = study_and_order("forward_selection", {"glue/mrpc": 0.9})
    with pytest.raises(TrainingError, match="is not in the catalog"):
        as_selected(jobs[0], None)
    with pytest.raises(TrainingError, match="combines 3 sources, and its selection has ranked 1"):
        as_selected(jobs[1], record)
