"""The spec's model: pools in coefficient order, frozen values, round trips."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from adapterlab.spec.model import Spec

GOOD: dict[str, Any] = {
    "name": "x",
    "backbone": {"source": "package:x"},
    "pool": {"tasks": ["glue/rte", "glue/mrpc", "glue/cola"]},
    "targets": {"tasks": ["glue/rte", "glue/stsb"]},
}


def spec(**changes: Any) -> Spec:
    return Spec.model_validate({**GOOD, **changes})


def test_a_target_comes_last_in_its_own_pool_as_in_the_paper() -> None:
    assert spec().pool_for("glue/rte") == ("glue/mrpc", "glue/cola", "glue/rte")
    assert spec().pool_for("glue/stsb") == ("glue/rte", "glue/mrpc", "glue/cola")


def test_an_excluded_target_is_not_in_its_pool() -> None:
    chosen = spec(pool={"tasks": GOOD["pool"]["tasks"], "target": "exclude"})
    assert chosen.pool_for("glue/rte") == ("glue/mrpc", "glue/cola")


def test_a_pool_may_not_be_left_empty() -> None:
    with pytest.raises(ValidationError, match="empty pool for glue/rte"):
        spec(pool={"tasks": ["glue/rte"], "target": "exclude"})
    spec(pool={"tasks": ["glue/rte"], "target": "exclude"}, targets={"tasks": ["glue/stsb"]})


def test_one_combiner_and_a_list_of_one_are_the_same_work() -> None:
    assert spec(combiner={"kind": "scalearn"}).combiner.kinds == ("scalearn",)
    assert spec(combiner={"kind": ["scalearn"]}).combiner.kinds == ("scalearn",)


def test_a_spec_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec().name = "y"  # type: ignore[misc]


def test_a_spec_survives_json_and_pickle() -> None:
    chosen = spec(search={"lr": {"choices": [1e-3, 1e-2]}, "dropout": {"low": 0.0, "high": 0.5}})
    assert Spec.model_validate(chosen.model_dump(mode="json")) == chosen
    assert Spec.model_validate_json(chosen.model_dump_json()) == chosen
    assert pickle.loads(pickle.dumps(chosen)) == chosen


@pytest.mark.parametrize("revision", [None, "main", "0" * 39, "0" * 41, "G" * 40])
def test_a_hub_backbone_is_pinned_to_a_commit(revision: str | None) -> None:
    with pytest.raises(ValidationError):
        spec(backbone={"source": "hub:roberta-base", "revision": revision})
    spec(backbone={"source": "hub:roberta-base", "revision": "0a" * 20})


def test_only_hub_backbones_have_a_revision() -> None:
    with pytest.raises(ValidationError, match="hub backbones only"):
        spec(backbone={"source": "package:x", "revision": "0a" * 20})


def test_a_sweep_in_one_process_cannot_kill_its_only_worker() -> None:
    assert spec(cluster={"step_timeout_s": 90.0}).cluster.step_timeout_s == 90
    assert spec().cluster.step_timeout_s is None
    with pytest.raises(ValidationError, match="no worker it could kill"):
        spec(cluster={"launcher": "in_process", "step_timeout_s": 90.0})


def test_a_sweep_in_one_process_has_no_cluster() -> None:
    assert spec(cluster={"launcher": "in_process"}).cluster.launcher == "in_process"
    with pytest.raises(ValidationError, match="leave out address"):
        spec(cluster={"launcher": "in_process", "address": "auto"})
