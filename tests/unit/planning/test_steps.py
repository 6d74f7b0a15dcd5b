"""What ties the steps of a plan: an identity that is unique, readable, and known before any key is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.facts import Facts
from adapterlab.planning.steps import StepId, each_once
from adapterlab.records import StepKind
from specs import facts, spec

NUMBERS = st.none() | st.integers(0, 2**31)
LABELS = st.none() | st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable())
TASKS = st.from_regex(r"[a-z0-9_]{1,9}/[a-z0-9_]{1,9}", fullmatch=True)
OF_ONE_TASK = st.sampled_from([kind for kind in StepKind if kind is not StepKind.JOINT])
ids = st.builds(StepId, OF_ONE_TASK, TASKS, LABELS, NUMBERS, NUMBERS, NUMBERS) | st.builds(
    StepId, st.just(StepKind.JOINT), st.just(""), LABELS, NUMBERS, NUMBERS
)


@given(ids, ids)
def test_an_identity_is_read_back_and_two_are_never_written_alike(one, other):
    assert StepId.parse(str(one)) == one
    assert (str(one) == str(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["", "source", "source/glue", "rte", "source/glue/rte/seed=x", "task/glue/rte"]
)
def test_what_is_no_identity_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        StepId.parse(text)


def test_how_identities_are_written():
    one = StepId(StepKind.SOURCE, "glue/rte", seed=0)
    assert str(one) == "source/glue/rte/seed=0"
    assert str(replace(one, rows=16)) == "source/glue/rte/rows=16/seed=0"
    assert str(replace(one, label="lora")) == "source/glue/rte/lora/seed=0"
    assert str(StepId(StepKind.STUDY, "glue/rte", "adaptersoup k=2")) == "study/glue/rte/adaptersoup k%3D2"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data.few_shot": 16, "data.few_shot_draw": "per_seed"},
        {"data.few_shot": 16, "baseline": [{"method": "pfeiffer"}, {"method": "lora"}]},
        {"baseline": [{"method": "lora"}], "joint.run": [{"method": "adapter_m"}, {"method": "full_m"}]},
        {"baseline": [{"method": "lora", "name": "rows-16"}, {"method": "pfeiffer", "name": "own"}]},
        {"combiner.kind": ["scalearn", "auto"], "combiner.among": ["scalearn", "single"]},
    ],
)
def test_identities_are_unique_in_a_plan_and_the_same_before_anything_is_known(changes):
    wanted = spec(**changes)
    plan, before = compile_plan(wanted, facts(wanted)), compile_plan(wanted, Facts.unknown(wanted))
    assert [step.id for step in before.steps] == [step.id for step in plan.steps]
    assert len({step.id for step in plan.steps}) == len({step.key for step in plan.steps}) == len(plan.steps)
    earlier: set[StepId] = set()
    for step in plan.steps:
        assert step.id.kind is step.kind
        assert earlier.issuperset(step.needs), "what a step needs comes before it"
        earlier.add(step.id)
    assert {final.job.study for final in plan.finals} == {study.id for study in plan.studies}
    assert before.key is None


def test_few_rows_that_are_all_a_task_has_are_one_step_under_two_names():
    """And one without a key is nobody's double."""
    wanted = spec(**{"data.few_shot": [4, "all"]})
    steps = compile_plan(wanted, facts(wanted)).sources
    assert each_once(steps) == steps
    wanted = spec(**{"data.few_shot": [100, "all"], "data.few_shot_draw": "fixed"})  # of 100
    both = compile_plan(wanted, facts(wanted)).sources
    once = each_once(both)
    assert len(once) < len(both)
    assert [step.key for step in once] == list(dict.fromkeys(step.key for step in both))
    unknown = [replace(step, key=None) for step in steps]
    assert each_once(unknown) == tuple(unknown)
