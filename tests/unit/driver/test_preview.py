"""A plan is made from what can be seen; what cannot run is told before anything is submitted."""

from __future__ import annotations

import pytest

from adapterlab.driver.preview import compile_spec
from adapterlab.errors import BackboneError
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
