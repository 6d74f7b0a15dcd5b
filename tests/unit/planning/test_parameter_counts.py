"""The papers' parameter counts, at roberta-base shape: for one target, for all, and beside the backbone."""

from __future__ import annotations

import json

import pytest

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.facts import Facts
from adapterlab.planning.parameter_counts import POOL_ROW, method_costs
from adapterlab.records import BackboneFacts, ProblemType, TaskFacts
from adapterlab.spec.model import Spec
from adapterlab_encoder.config import encoder_shape

TASKS = [f"glue/{name}" for name in ("mnli", "qqp", "qnli", "sst2", "stsb", "mrpc", "rte", "cola")]
BASE = encoder_shape(12, 768, 3072, 50265 + 514 + 1)
SPEC = {
    "name": "table",
    "backbone": {"source": "folder:/nowhere"},
    "pool": {"tasks": TASKS},
    "targets": {"tasks": TASKS},
    "combiner": {
        "kind": ["scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp", "adapterfusion"]
    },
    "baseline": [
        {"method": "pfeiffer", "name": "adapter"},
        {"method": "compacter_pp"},
        {"method": "propetl"},
        {"method": "ia3"},
        {"method": "lora", "settings": {"r": 32}},
    ],
    "final": {"seeds": [0, 1, 2]},
}
COUNTS = {
    POOL_ROW: 894_528,
    "scalearn": 73_728,
    "scalearn_uniform": 96,
    "scalearn_pp": 6_144,
    "scalearn_uniform_pp": 8,
    "adapterfusion": 21_252_096,
    "compacter_pp": 29_440,
    "propetl": 959_280,
    "ia3": 55_296,
    "lora": 1_179_648,
}


def plan_of(spec, shape=BASE):
    backbone = BackboneFacts("folder:/nowhere", "roberta", shape, None, None, None, None, "not at hand")
    facts = {
        task: TaskFacts(
            task, ProblemType.CLASSIFICATION, 2, ("a", "b"), ("accuracy",), None, pending_reason="x"
        )
        for task in TASKS
    }
    return compile_plan(Spec.model_validate_json(json.dumps(spec)), Facts(backbone, facts))


@pytest.fixture(scope="module")
def rows():
    return {one.name: one for one in method_costs(plan_of(SPEC))}


@pytest.mark.parametrize("name", COUNTS)
def test_the_papers_counts_for_one_target_and_for_eight(rows, name):
    assert rows[name].one == COUNTS[name]
    assert rows[name].tasks == 8
    assert rows[name].every == 8 * COUNTS[name]


def test_with_its_sources_a_combination_has_each_of_their_adapters_once(rows):
    for name in ("scalearn", "adapterfusion"):
        assert rows[name].with_sources == 8 * COUNTS[name] + 8 * 894_528
    assert rows["lora"].with_sources == rows["lora"].every, "a row of one task alone combines none"


def test_the_share_of_the_backbone_is_the_papers(rows):
    """894,528 of roberta-base's 124,645,632, its pooler included, are 0.718 %."""
    assert rows[POOL_ROW].whole == 124_645_632
    assert rows[POOL_ROW].one_percent == pytest.approx(0.71766, abs=1e-5)
    assert rows["adapterfusion"].every_percent == pytest.approx(136.4, abs=0.01)


def test_what_is_not_known_is_not_guessed():
    (pool, *_) = method_costs(plan_of(SPEC, shape=None))
    assert (pool.one, pool.every, pool.one_percent, pool.whole) == (None, None, None, None)
    assert {
        one.with_sources for one in method_costs(plan_of(SPEC, shape=None)) if one.name == "scalearn"
    } == {None}
