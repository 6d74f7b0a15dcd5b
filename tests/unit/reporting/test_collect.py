"""A summary is read from the catalog: what is done, what failed, and what is not there yet."""

from __future__ import annotations

import json

import pytest

from adapterlab.catalog.store import current_owner
from adapterlab.planning.baselines import baseline_rows
from adapterlab.records import Step, StepKind
from adapterlab.reporting.collect import summarise
from adapterlab.reporting.summary import OWN_ADAPTER
from adapterlab.spec.model import Spec
from catalogs import key, put_adapter, put_study, put_transfer

pytestmark = pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
SPEC = {"targets": {"tasks": ["glue/cb", "glue/rte"]}, "backbone": {"source": "folder:/nowhere"}}


def steps():
    """Return two sources, and for each target a study with two final runs."""
    found = [
        Step(StepKind.SOURCE, key(f"source {one}"), f"source · {one} · seed 0", {}) for one in ("rte", "cb")
    ]
    for target in ("cb", "rte"):
        title = f"{target} · scalearn"
        found.append(Step(StepKind.STUDY, key(title), title, {}))
        found += [
            Step(
                StepKind.TRANSFER,
                key(f"{title} {seed}"),
                f"{title} · final · seed {seed}",
                {},
                needs=(title,),
            )
            for seed in (0, 1)
        ]
    return found


def summary_of(catalog, tmp_path):
    sweep = catalog.open_sweep(key("sweep"), "demo", json.dumps(SPEC), steps())
    return summarise(catalog, catalog.sweep(sweep.key), cache=tmp_path)


def fail(catalog, name, reason):
    claim = catalog.claim_many([key(name)], owner=current_owner(), lease_s=60)[key(name)]
    catalog.fail(claim, reason)


def test_nothing_is_left_out_before_anything_is_done(catalog, tmp_path):
    summary = summary_of(catalog, tmp_path)
    assert set(summary.targets) == {"glue/cb", "glue/rte"}
    assert set(summary.combiners) == {OWN_ADAPTER, "scalearn"}
    one = summary.cell("glue/rte", "scalearn")
    assert [(gap.seed, gap.state) for gap in one.gaps] == [(0, "pending"), (1, "pending")]
    assert one.metric == "accuracy"
    assert summary.backbone_parameters is None


def test_values_come_by_seed_and_a_failed_seed_keeps_its_reason(catalog, tmp_path):
    put_adapter(catalog, "source rte", test={"accuracy": 0.6})
    put_adapter(catalog, "source cb", task="glue/cb", test={"accuracy": 0.5})
    put_study(catalog, "cb · scalearn", "source rte", "source cb", seconds=50.0)
    put_transfer(
        catalog, "cb · scalearn 1", "cb · scalearn", "source rte", "source cb", seed=1,
        test={"accuracy": 0.7}, seconds=4.0,
    )  # fmt: skip
    fail(catalog, "cb · scalearn 0", "loss is nan")
    summary = summary_of(catalog, tmp_path)
    one = summary.cell("glue/cb", "scalearn")
    assert (one.test, one.seeds, one.expected_seeds) == ((0.7,), (1,), 2)
    assert [(gap.seed, gap.state, gap.reason) for gap in one.gaps] == [(0, "failed", "loss is nan")]
    assert (one.seconds, one.search_seconds, one.settings["init_scale"]) == (4.0, 50.0, 2.0)
    assert summary.cell("glue/rte", OWN_ADAPTER).test == (0.6,)
    assert summary.cell("glue/rte", OWN_ADAPTER).is_baseline
    assert {(one.layer, one.position) for one in summary.layers} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_study_that_failed_says_so_for_each_of_its_seeds(catalog, tmp_path):
    fail(catalog, "rte · scalearn", "no trial completed")
    one = summary_of(catalog, tmp_path).cell("glue/rte", "scalearn")
    assert [(gap.seed, gap.reason) for gap in one.gaps] == [
        (0, "no trial completed"),
        (1, "no trial completed"),
    ]


def test_a_source_that_failed_is_a_gap_of_its_row(catalog, tmp_path):
    fail(catalog, "source cb", "diverged")
    one = summary_of(catalog, tmp_path).cell("glue/cb", OWN_ADAPTER)
    assert [(gap.seed, gap.state, gap.reason) for gap in one.gaps] == [(0, "failed", "diverged")]


def test_declared_baselines_are_rows_by_seed_and_replace_the_own_adapter(catalog, tmp_path):
    """One step may be the pool's and a baseline's; a seed that failed is a gap."""
    spec = {
        "name": "demo",
        "backbone": {"source": "folder:/nowhere"},
        "pool": {"tasks": ["glue/rte", "superglue/cb"]},
        "targets": {"tasks": ["glue/rte"]},
        "baseline": [{"method": "pfeiffer", "name": "adapter"}, {"method": "head_only", "seeds": [0]}],
        "final": {"seeds": [0, 1]},
    }
    rows = baseline_rows(Spec.model_validate_json(json.dumps(spec)))
    titles = {title: (row.label, seed) for row in rows for seed, title in row.steps.items()}
    found = [Step(StepKind.SOURCE, key(title), title, {}) for title in titles]
    for title, (label, seed) in titles.items():
        if (label, seed) != ("adapter", 1):
            put_adapter(catalog, title, seed=seed, test={"accuracy": 0.5 + seed / 10})
    fail(catalog, next(title for title, one in titles.items() if one == ("adapter", 1)), "diverged")
    sweep = catalog.open_sweep(key("sweep"), "demo", json.dumps(spec), found)
    summary = summarise(catalog, catalog.sweep(sweep.key), cache=tmp_path)
    assert summary.combiners == ("adapter", "head_only")
    one = summary.cell("glue/rte", "adapter")
    assert (one.test, one.expected_seeds) == ((0.5,), 2)
    assert [(gap.seed, gap.reason) for gap in one.gaps] == [(1, "diverged")]
    assert summary.cell("glue/rte", "head_only").is_whole
