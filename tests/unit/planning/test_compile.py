"""A plan's keys hold everything that decides a result, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.plan import Plan
from adapterlab.records import StepKind
from adapterlab.spec.model import PoolSpec
from specs import facts, spec, task_facts


def plan_of(**changes) -> Plan:
    wanted = spec(**changes)
    return compile_plan(wanted, facts(wanted))


def keys(plan: Plan, kind: StepKind) -> dict[str, str]:
    return {step.title: step.key for step in plan.of_kind(kind)}


def test_a_plan_has_each_source_once_and_a_study_for_each_target_and_combiner():
    plan = plan_of()
    assert [step.title for step in plan.of_kind(StepKind.SOURCE)] == [
        "source · rte · seed 0",
        "source · mrpc · seed 0",
        "source · cb · seed 0",
    ]
    assert [step.title for step in plan.of_kind(StepKind.STUDY)] == [
        "rte · scalearn",
        "rte · scalearn_uniform",
        "cb · scalearn",
        "cb · scalearn_uniform",
    ]
    assert len(plan.of_kind(StepKind.TRANSFER)) == 8
    assert len({step.key for step in plan.steps}) == len(plan.steps)


def test_the_target_comes_last_in_its_pool_or_not_at_all():
    study = plan_of().of_kind(StepKind.STUDY)[0]
    assert [entry.name for entry in study.job.pool] == ["mrpc", "cb", "rte"]
    study = plan_of(**{"pool.target": "exclude"}).of_kind(StepKind.STUDY)[0]
    assert [entry.name for entry in study.job.pool] == ["mrpc", "cb"]


def test_sizes_of_a_pool_are_rows_of_their_own():
    plan = plan_of(**{"pool.size": [1, 2, 3]})
    labels = [step.job.label for step in plan.studies if step.job.task == "glue/rte"]
    assert labels[:3] == ["scalearn 1 source", "scalearn 2 sources", "scalearn 3 sources"]
    of = {
        step.job.label: [member.task for member in step.job.pool]
        for step in plan.studies
        if step.job.task == "glue/rte"
    }
    assert of["scalearn 1 source"] == ["glue/rte"]
    assert of["scalearn 2 sources"] == ["glue/mrpc", "glue/rte"]
    assert of["scalearn 3 sources"] == ["glue/mrpc", "superglue/cb", "glue/rte"]
    whole = plan_of()
    key = {step.job.label: step.key for step in plan.studies if step.job.task == "glue/rte"}
    assert key["scalearn 3 sources"] == keys(whole, StepKind.STUDY)["rte · scalearn"], (
        "the whole pool is what it was"
    )


def test_one_size_takes_fewer_sources_under_the_same_names():
    plan = plan_of(**{"pool.size": 1})
    assert {step.job.label for step in plan.studies} == {"scalearn", "scalearn_uniform"}
    assert all([member.task for member in step.job.pool] == [step.job.task] for step in plan.studies)
    assert {step.job.task for step in plan.sources} == {"glue/rte", "superglue/cb"}, "nobody reads mrpc's"


@given(st.integers(0, 50), st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True))
def test_random_sources_are_nested_and_the_seeds_own(seed, sizes):
    tasks = ["glue/rte", "glue/mrpc", "glue/cola", "glue/sst2", "glue/qnli", "superglue/cb"]
    pool = PoolSpec(tasks=tuple(tasks), size=tuple(sizes), rule="random", seed=seed)
    others = tasks[1:]
    chosen = {size: pool.chosen("glue/rte", others, 1, size, "random") for size in sizes}
    for size, some in chosen.items():
        assert len(some) == size - 1
        assert some == [one for one in others if one in some], "in the order listed"
        assert some == pool.chosen("glue/rte", others, 1, size, "random")
    ordered = [chosen[size] for size in sorted(sizes)]
    assert all(set(few) <= set(more) for few, more in pairwise(ordered))


def test_random_sources_differ_from_seed_to_seed():
    tasks = tuple(f"glue/{name}" for name in ("rte", "mrpc", "cola", "sst2", "qnli"))
    drawn = {
        tuple(PoolSpec(tasks=tasks, rule="random", seed=seed).chosen("glue/x", tasks, 0, 2, "random"))
        for seed in range(20)
    }
    assert len(drawn) > 3


def test_a_source_no_target_reads_is_not_trained():
    plan = plan_of(**{"targets.tasks": ["glue/rte"], "pool.target": "exclude"})
    assert [step.job.task for step in plan.of_kind(StepKind.SOURCE)] == ["glue/mrpc", "superglue/cb"]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"cluster.workers": 3},
        {"cluster.lanes": 7},
        {"cluster.lease_s": 30.0},
        {"tracking.experiment": "elsewhere"},
        {"store.catalog": "sqlite:///x.db"},
        {"search.trials": 16},
        {"data.max_train_rows": 100},
        {"source.max_epochs": 30},
        {"adapter.settings": {"reduction_factor": 16}},
    ],
)
def test_places_names_and_spelled_out_defaults_change_no_key(changes):
    assert [step.key for step in plan_of().steps] == [step.key for step in plan_of(**changes).steps]


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"source.lr": 1e-4}, {"source", "study", "transfer"}),
        ({"source.backbone_dropout": False}, {"source", "study", "transfer"}),
        ({"adapter.settings": {"reduction_factor": 8}}, {"source", "study", "transfer"}),
        ({"data.max_length": 64}, {"source", "study", "transfer"}),
        ({"data.max_train_rows": 50}, {"source", "study", "transfer"}),
        ({"transfer.max_epochs": 3}, {"study", "transfer"}),
        ({"search.trials": 4}, {"study", "transfer"}),
        ({"search.seed": 4}, {"study", "transfer"}),
        ({"search.dropout": 0.1}, {"study", "transfer"}),
        ({"pool.target": "exclude"}, {"study", "transfer"}),
        ({"final.seeds": [0, 1, 2]}, set()),
    ],
)
def test_what_decides_a_result_changes_its_key(changes, kinds):
    before, after = plan_of(), plan_of(**changes)
    for kind in (StepKind.SOURCE, StepKind.STUDY, StepKind.TRANSFER):
        old, new = keys(before, kind), keys(after, kind)
        common = old.keys() & new.keys()
        assert common
        assert all((old[title] != new[title]) == (str(kind) in kinds) for title in common)


def test_the_seed_of_the_sources_decides_everything():
    assert not {step.key for step in plan_of().steps} & {
        step.key for step in plan_of(**{"source.seed": 1}).steps
    }


def test_more_trials_continue_the_same_search():
    few = plan_of(**{"search.trials": 4}).of_kind(StepKind.STUDY)[0]
    many = plan_of(**{"search.trials": 8}).of_kind(StepKind.STUDY)[0]
    assert few.key != many.key
    assert few.job.search_key == many.job.search_key


def test_the_order_of_choices_is_part_of_a_search():
    one = plan_of(**{"search.dropout": {"choices": [0.1, 0.3]}}).of_kind(StepKind.STUDY)[0]
    two = plan_of(**{"search.dropout": {"choices": [0.3, 0.1]}}).of_kind(StepKind.STUDY)[0]
    assert one.job.search_key != two.job.search_key


def test_task_content_decides_and_its_name_does_not():
    wanted = spec()
    base = compile_plan(wanted, facts(wanted))
    changed = facts(wanted, **{"glue/mrpc": task_facts("glue/mrpc", digest="d" * 64)})
    after = compile_plan(wanted, changed)
    assert base.steps[0].key == after.steps[0].key
    assert base.steps[1].key != after.steps[1].key


def test_fixed_dimensions_need_one_trial():
    study = plan_of(**{"search.lr": 6e-3, "search.dropout": {"choices": [0.3]}}).of_kind(StepKind.STUDY)[0]
    assert study.job.search.trials == 1


def test_without_data_or_weights_steps_have_no_key_but_a_reason_and_counts():
    wanted = spec()
    known = facts(wanted, **{"glue/mrpc": task_facts("glue/mrpc", reason="glue/mrpc: no data")})
    plan = compile_plan(wanted, known)
    assert plan.key is None
    assert plan.pending == ("glue/mrpc: no data",)
    by_title = {step.title: step for step in plan.steps}
    assert by_title["source · mrpc · seed 0"].key is None
    assert by_title["source · rte · seed 0"].key is not None
    assert by_title["rte · scalearn"].key is None
    unknown = replace(known.backbone, weights_digest=None, pending_reason="not downloaded")
    plan = compile_plan(wanted, replace(known, backbone=unknown))
    assert all(step.key is None for step in plan.steps)
    assert "not downloaded" in plan.pending


def test_equal_short_names_are_told_apart():
    plan = plan_of(**{"pool.tasks": ["glue/rte", "superglue/rte"], "targets.tasks": ["glue/rte"]})
    assert [step.title for step in plan.of_kind(StepKind.SOURCE)] == [
        "source · glue/rte · seed 0",
        "source · superglue/rte · seed 0",
    ]


def test_parameter_counts_are_the_papers():
    """At roberta-base shape with eight sources. Source: ScaLearn (arXiv 2310.01217), table 4."""
    tasks = [
        "glue/rte",
        "glue/mrpc",
        "glue/cola",
        "glue/stsb",
        "glue/sst2",
        "glue/qnli",
        "glue/qqp",
        "glue/mnli",
    ]
    wanted = spec(
        **{
            "pool.tasks": tasks,
            "targets.tasks": ["glue/rte"],
            "combiner.kind": ["scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp"],
        }
    )
    plan = compile_plan(wanted, facts(wanted))
    assert {step.trainable_parameters for step in plan.of_kind(StepKind.SOURCE)} == {894_528}
    assert [step.trainable_parameters for step in plan.of_kind(StepKind.STUDY)] == [73_728, 96, 6_144, 8]
    assert {step.head_parameters for step in plan.steps} == {592_130}


def _cb_of(plan: Plan) -> str:
    return keys(plan, StepKind.SOURCE)["source · cb · seed 0"]


def _with_cb(general: int, **told) -> Plan:
    wanted = spec(**{"data.max_length": general})
    known = facts(wanted)
    longer = {**known.tasks, "superglue/cb": replace(known.tasks["superglue/cb"], **told)}
    return compile_plan(wanted, replace(known, tasks=longer))


def test_a_tasks_own_length_counts_while_the_general_one_is_at_its_default():
    assert _cb_of(_with_cb(128, max_length=324)) == _cb_of(_with_cb(324))
    assert _cb_of(_with_cb(64, max_length=324)) == _cb_of(_with_cb(64))
    others = "source · rte · seed 0"
    assert (
        keys(_with_cb(128, max_length=324), StepKind.SOURCE)[others]
        == keys(plan_of(), StepKind.SOURCE)[others]
    )


def test_rows_that_are_not_at_hand_are_reckoned_as_published():
    def of_cb(**told):
        return _with_cb(128, content_digest=None, n_train=None, **told).of_kind(StepKind.SOURCE)[2]

    step = of_cb(published_train=225)
    assert step.key is None
    assert step.train_rows == _with_cb(128, n_train=225).of_kind(StepKind.SOURCE)[2].train_rows
    assert of_cb().train_rows is None


def test_a_choice_has_one_output_and_each_is_a_row():
    plain, choices = _with_cb(128, n_train=100), _with_cb(128, n_train=100, n_labels=1, choices=3)
    one, other = (plan.of_kind(StepKind.SOURCE)[2] for plan in (plain, choices))
    assert other.train_rows == 3 * one.train_rows
    d = 768
    assert (one.head_parameters, other.head_parameters) == (d * d + d + 2 * d + 2, d * d + d + d + 1)


def test_a_head_whose_labels_are_not_known_yet_is_not_counted():
    plan = _with_cb(128, n_labels=0, labels=())
    assert [step.head_parameters for step in plan.steps if step.title.startswith("cb")] == [None] * 6
    assert plan.of_kind(StepKind.SOURCE)[2].head_parameters is None


def test_without_combiners_the_pool_and_baselines_are_all_there_is():
    plan = plan_of(**{"combiner.kind": [], "baseline": [{"method": "full"}]})
    assert {step.kind for step in plan.steps} == {StepKind.SOURCE}
    assert keys(plan_of(), StepKind.SOURCE).items() <= keys(plan, StepKind.SOURCE).items()
    assert plan.key is not None
