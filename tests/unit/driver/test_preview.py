"""A plan is made from what can be seen; what cannot run is told before anything is submitted."""

from __future__ import annotations

import pytest

from adapterlab.driver.preview import compile_spec, plan_spec
from adapterlab.errors import BackboneError, DataError
from adapterlab.spec.load import load_spec
from tiny_world import write_world


@pytest.fixture
def spec_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    return write_world(tmp_path)


def test_a_plan_knows_its_data_and_trains_nothing(spec_file, tmp_path):
    plan = compile_spec(load_spec(spec_file))
    assert plan.key is not None
    assert {task: facts.n_test for task, facts in plan.facts.tasks.items()}
    assert not (tmp_path / "home" / "cache" / "tokens").exists()


def test_rows_longer_than_the_backbone_takes_are_told_by_the_plan(spec_file):
    with pytest.raises(BackboneError, match=r"rows of 65 tokens, but .* takes at most 64 tokens") as caught:
        compile_spec(load_spec(spec_file, ["data.max_length=65"]))
    assert "64 or less" in str(caught.value.remedy)
    compile_spec(load_spec(spec_file, ["data.max_length=64"]))


def test_every_task_that_cannot_be_read_is_told_at_once(spec_file, tmp_path):
    for task in ("glue/rte", "superglue/cb"):
        (tmp_path / "data" / task / "train.jsonl").write_text("{broken\n")
    with pytest.raises(DataError) as caught:
        compile_spec(load_spec(spec_file))
    assert str(caught.value).count("train.jsonl") >= 2
    assert "2 tasks cannot be read" in caught.value.message
    assert [fault["error"] for fault in caught.value.to_json()["faults"]] == ["DataError", "DataError"]


def test_a_plan_tells_targets_by_methods(spec_file):
    planned = plan_spec(load_spec(spec_file, ["baseline=[{method='full'}, {method='pfeiffer', name='own'}]"]))
    rows = {row.name: row for row in planned.matrix}
    assert list(rows) == ["source adapters", "full", "own", "scalearn", "scalearn_uniform"]
    assert rows["source adapters"].others.runs == 1, "cb is no target"
    assert rows["own"].targets["glue/rte"].runs == 2, "one of them is the pool's"
    assert (rows["scalearn"].targets["glue/rte"].runs, rows["scalearn"].trials) == (2, 3)
    told = sum(row.seconds for row in rows.values())
    assert told == pytest.approx(planned.estimate.device_seconds)
    assert planned.to_json()["matrix"][0]["kind"] == "pool"
