"""Few-shot plans: few rows where the target trains, all of them elsewhere, and keys that say so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import RunRows, Step
from adapterlab.records import StepKind
from specs import facts, spec

FEW = {"data.few_shot": 16}
EACH = {**FEW, "data.few_shot_draw": "per_seed"}


def plan_of(**changes) -> Plan:
    wanted = spec(**changes)
    return compile_plan(wanted, facts(wanted))


def step(plan: Plan, title: str) -> Step:
    return next(one for one in plan.steps if one.title == title)


def titles(plan: Plan, kind: StepKind) -> list[str]:
    return [one.title for one in plan.of_kind(kind)]


def test_a_targets_own_adapter_takes_the_place_of_the_full_one_and_others_stay():
    plan = plan_of(**FEW)
    assert titles(plan, StepKind.SOURCE) == [
        "source · rte · seed 0",
        "source · mrpc · seed 0",
        "source · cb · seed 0",
        "source · rte · 16 rows · seed 0",
        "source · cb · 16 rows · seed 0",
    ]
    study = step(plan, "rte · scalearn")
    used = [next(one.title for one in plan.steps if one.key == entry.key) for entry in study.job.pool]
    assert used == ["source · mrpc · seed 0", "source · cb · seed 0", "source · rte · 16 rows · seed 0"]
    assert study.job.rows == RunRows(16)
    full = plan_of()
    assert step(plan, "source · mrpc · seed 0").key == step(full, "source · mrpc · seed 0").key
    assert step(plan, "source · mrpc · seed 0").job.rows is None


def test_a_full_adapter_that_no_pool_reads_is_not_trained():
    plan = plan_of(**FEW, **{"targets.tasks": ["glue/rte"]})
    assert "source · rte · seed 0" not in titles(plan, StepKind.SOURCE)
    assert "source · rte · 16 rows · seed 0" in titles(plan, StepKind.SOURCE)


def test_a_target_outside_its_pool_needs_no_adapter_of_few_rows():
    plan = plan_of(**FEW, **{"pool.target": "exclude"})
    assert not any("16 rows" in title for title in titles(plan, StepKind.SOURCE))
    assert step(plan, "rte · scalearn").job.rows.train == 16
    assert (
        step(plan, "rte · scalearn").key != step(plan_of(**{"pool.target": "exclude"}), "rte · scalearn").key
    )


def test_the_first_rows_are_what_max_train_rows_takes():
    """The same work has the same key, whichever way it was asked for."""
    few, limited = plan_of(**FEW), plan_of(**{"data.max_train_rows": 16})
    assert step(few, "source · rte · 16 rows · seed 0").key == step(limited, "source · rte · seed 0").key
    assert step(few, "source · rte · seed 0").key == step(plan_of(), "source · rte · seed 0").key


def test_as_many_rows_as_there_are_is_all_of_them():
    few, full = plan_of(**{"data.few_shot": 100}), plan_of()
    assert step(few, "rte · scalearn").key == step(full, "rte · scalearn").key


def test_the_number_of_rows_and_the_way_of_drawing_decide_the_keys():
    plans = [plan_of(), plan_of(**FEW), plan_of(**{"data.few_shot": 32}), plan_of(**EACH)]
    assert len({step(plan, "rte · scalearn").key for plan in plans}) == 4
    finals = {step(plan, "rte · scalearn · final · seed 1").key for plan in plans}
    assert len(finals) == 4


def test_every_seed_has_its_own_draw_and_its_own_adapter():
    plan = plan_of(**EACH, **{"final.seeds": [1, 2], "search.seed": 7})
    own = {title for title in titles(plan, StepKind.SOURCE) if "rte · 16 rows" in title}
    assert own == {f"source · rte · 16 rows · seed {seed}" for seed in (7, 1, 2)}
    study = step(plan, "rte · scalearn")
    assert study.job.rows.draw == 7
    assert study.job.pool[-1].key == step(plan, "source · rte · 16 rows · seed 7").key
    assert own <= {one.title for one in plan.steps if one.id in study.needs}
    for seed in (1, 2):
        final = step(plan, f"rte · scalearn · final · seed {seed}")
        source = step(plan, f"source · rte · 16 rows · seed {seed}")
        assert final.job.pool[-1] == replace(study.job.pool[-1], key=source.key)
        assert final.job.pool[:-1] == study.job.pool[:-1]
        assert final.job.rows.draw == source.job.rows.draw == source.job.seed == seed


def test_the_papers_thousand_steps_become_epochs():
    official = {"few_shot.max_steps": 1000, "few_shot.patience": 20, "source.batch_size": 32}
    for rows, epochs in ((4, 1000), (16, 1000), (32, 1000), (90, 334)):
        plan = plan_of(**official, **{"data.few_shot": rows})
        own = step(plan, f"source · rte · {rows} rows · seed 0").job.training
        assert (own.max_epochs, own.patience) == (epochs, 20)
        kind = step(plan, "rte · scalearn").job.combiners[0]
        assert (kind.training.max_epochs, kind.training.patience) == (epochs, 20)
        full = step(plan, "source · mrpc · seed 0").job.training
        assert (full.max_epochs, full.patience) == (30, 5)


def test_baselines_of_a_few_shot_target_train_on_the_same_rows_and_are_shared():
    baseline = {"baseline": [{"method": "pfeiffer", "seeds": [0, 1]}]}
    plan = plan_of(**FEW, **baseline)
    trained = [one for one in plan.of_kind(StepKind.SOURCE) if one.job.task == "glue/rte"]
    few = [one for one in trained if one.job.rows]
    assert {one.job.rows.train for one in few} == {16}
    assert len(few) == 2  # seed 0 is the pool's own
    assert len({one.key for one in plan.steps}) == len(plan.steps)
    drawn = [one for one in plan_of(**EACH, **baseline).of_kind(StepKind.SOURCE) if one.job.rows]
    assert {(one.job.seed, one.job.rows.draw) for one in drawn} == {(0, 0), (1, 1)}


def test_validation_can_be_limited_where_few_rows_train_or_everywhere():
    wanted = spec(**FEW, **{"data.max_validation_rows": 20})
    known = facts(wanted)
    for task, found in known.tasks.items():
        object.__setattr__(found, "n_validation", 50)
        assert task
    plan = compile_plan(wanted, known)
    assert step(plan, "rte · scalearn").job.rows.validation == 20
    assert step(plan, "source · mrpc · seed 0").job.rows is None
    everywhere = compile_plan(spec(**{"data.max_validation_rows": 20}), known)
    assert step(everywhere, "source · mrpc · seed 0").job.rows.validation == 20
    assert step(everywhere, "source · mrpc · seed 0").key != step(plan_of(), "source · mrpc · seed 0").key


@pytest.mark.parametrize(
    "changes",
    [
        {"data.few_shot_draw": "per_seed"},
        {"few_shot.max_steps": 10},
        {**FEW, "few_shot.max_steps": 10, "few_shot.max_epochs": 3},
        {"data.few_shot": 1},
    ],
)
def test_half_a_few_shot_spec_is_refused(changes):
    with pytest.raises(ValidationError):
        spec(**changes)
