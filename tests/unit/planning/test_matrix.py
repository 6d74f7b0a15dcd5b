"""A plan's matrix counts each run where it belongs, by what is known of it."""

from __future__ import annotations

from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.matrix import plan_matrix
from adapterlab.records import State, StepKind
from specs import facts, spec

SPEC = spec(**{"final.seeds": [0, 1, 2], "baseline": [{"method": "full"}]})
PLAN = compile_plan(SPEC, facts(SPEC))


def matrix(state=lambda step: State.PENDING, seconds=None):
    rows = plan_matrix(PLAN, SPEC.targets.tasks, baseline_rows(SPEC), state=state, seconds=seconds)
    return {row.name: row for row in rows}


def test_every_run_of_the_plan_is_in_one_place():
    rows = matrix()
    pool, full = rows["source adapters"], rows["full"]
    assert [row.kind for row in rows.values()][:2] == ["pool", "baseline"]
    of_pool = sum(one.runs for one in pool.targets.values()) + (pool.others.runs if pool.others else 0)
    assert of_pool + sum(one.runs for one in full.targets.values()) == len(PLAN.sources)
    combiners = [row for row in rows.values() if row.kind == "combiner"]
    assert sum(one.runs for row in combiners for one in row.targets.values()) == len(PLAN.finals)
    assert all(row.trials == SPEC.search.trials for row in combiners)


def test_cached_and_in_flight_are_told_apart():
    states = {0: State.COMPLETE, 1: State.RUNNING, 2: State.FAILED}
    rows = matrix(lambda step: states[step.id.seed] if step.kind is StepKind.TRANSFER else State.PENDING)
    for row in rows.values():
        if row.kind == "combiner":
            assert {(one.runs, one.cached, one.in_flight, one.left) for one in row.targets.values()} == {
                (3, 1, 1, 1)
            }


def test_times_of_rows_add_up_to_that_of_all_steps():
    rows = matrix(seconds={step.id: 1.0 for step in PLAN.steps})
    assert sum(row.seconds for row in rows.values()) == len(PLAN.steps)
    assert {row.seconds for row in matrix().values()} == {None}
