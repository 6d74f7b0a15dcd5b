"""A summary is read from the catalog: what is done, what failed, and what is not there yet."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.store import current_owner
from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.facts import Facts
from adapterlab.records import StepKind
from adapterlab.reporting.collect import summarise
from adapterlab.reporting.summary import OWN_ADAPTER
from adapterlab.spec.model import Spec
from catalogs import key, put_adapter, put_study, put_transfer

pytestmark = pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
SPEC = {"targets": {"tasks": ["glue/cb", "glue/rte"]}, "backbone": {"source": "folder:/nowhere"}}


@pytest.fixture(params=["with identities", "recorded before there were any"])
def recorded(request):
    """Return how the catalog has steps of a sweep: as they are now, or tied by their titles."""

    def record(steps):
        if request.param == "with identities":
            return steps
        titles = {step.id: step.title for step in steps}
        return [replace(step, id=None, needs=tuple(titles[need] for need in step.needs)) for step in steps]

    return record


def steps():
    """Return two sources, and for each target a study with two final runs."""
    found = [
        (key(f"source {one}"), StepKind.SOURCE, f"source · {one} · seed 0", (), f"source/glue/{one}/seed=0")
        for one in ("rte", "cb")
    ]
    for target in ("cb", "rte"):
        title, study = f"{target} · scalearn", f"study/glue/{target}/scalearn"
        found.append((key(title), StepKind.STUDY, title, (), study))
        for seed in (0, 1):
            final = f"transfer/glue/{target}/scalearn/seed={seed}"
            shown = f"{title} · final · seed {seed}"
            found.append((key(f"{title} {seed}"), StepKind.TRANSFER, shown, (study,), final))
    return [SweepStep(position, *one) for position, one in enumerate(found)]


def summary_of(catalog, tmp_path, recorded):
    sweep = catalog.open_sweep(key("sweep"), "demo", json.dumps(SPEC), recorded(steps()))
    return summarise(catalog, catalog.sweep(sweep.key), cache=tmp_path)


def fail(catalog, name, reason):
    claim = catalog.claim_many([key(name)], owner=current_owner(), lease_s=60)[key(name)]
    catalog.fail(claim, reason)


def test_nothing_is_left_out_before_anything_is_done(catalog, tmp_path, recorded):
    summary = summary_of(catalog, tmp_path, recorded)
    assert set(summary.targets) == {"glue/cb", "glue/rte"}
    assert set(summary.combiners) == {OWN_ADAPTER, "scalearn"}
    one = summary.cell("glue/rte", "scalearn")
    assert [(gap.seed, gap.state) for gap in one.gaps] == [(0, "pending"), (1, "pending")]
    assert one.metric == "accuracy"
    assert summary.backbone_parameters is None


def test_values_come_by_seed_and_a_failed_seed_keeps_its_reason(catalog, tmp_path, recorded):
    put_adapter(catalog, "source rte", test={"accuracy": 0.6})
    put_adapter(catalog, "source cb", task="glue/cb", test={"accuracy": 0.5})
    put_study(catalog, "cb · scalearn", "source rte", "source cb", seconds=50.0)
    put_transfer(
        catalog, "cb · scalearn 1", "cb · scalearn", "source rte", "source cb", seed=1,
        test={"accuracy": 0.7}, seconds=4.0,
    )  # fmt: skip
    fail(catalog, "cb · scalearn 0", "loss is nan")
    summary = summary_of(catalog, tmp_path, recorded)
    one = summary.cell("glue/cb", "scalearn")
    assert (one.test, one.seeds, one.expected_seeds) == ((0.7,), (1,), 2)
    assert [(gap.seed, gap.state, gap.reason) for gap in one.gaps] == [(0, "failed", "loss is nan")]
    assert (one.seconds_a_run, one.search_seconds, one.settings["init_scale"]) == (4.0, 50.0, 2.0)
    assert summary.cell("glue/rte", OWN_ADAPTER).test == (0.6,)
    assert summary.cell("glue/rte", OWN_ADAPTER).is_baseline
    assert {(one.layer, one.position) for one in summary.layers} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_study_that_failed_says_so_for_each_of_its_seeds(catalog, tmp_path, recorded):
    fail(catalog, "rte · scalearn", "no trial completed")
    one = summary_of(catalog, tmp_path, recorded).cell("glue/rte", "scalearn")
    assert [(gap.seed, gap.reason) for gap in one.gaps] == [
        (0, "no trial completed"),
        (1, "no trial completed"),
    ]


def test_a_source_that_failed_is_a_gap_of_its_row(catalog, tmp_path, recorded):
    fail(catalog, "source cb", "diverged")
    one = summary_of(catalog, tmp_path, recorded).cell("glue/cb", OWN_ADAPTER)
    assert [(gap.seed, gap.state, gap.reason) for gap in one.gaps] == [(0, "failed", "diverged")]


def test_declared_baselines_are_rows_by_seed_and_replace_the_own_adapter(catalog, tmp_path, recorded):
    """One step may be the pool's and a baseline's; a seed that failed is a gap."""
    spec = {
        "name": "demo",
        "backbone": {"source": "folder:/nowhere"},
        "pool": {"tasks": ["glue/rte", "superglue/cb"]},
        "targets": {"tasks": ["glue/rte"]},
        "baseline": [{"method": "pfeiffer", "name": "adapter"}, {"method": "head_only", "seeds": [0]}],
        "final": {"seeds": [0, 1]},
    }
    resolved = Spec.model_validate_json(json.dumps(spec))
    wanted = {
        str(one): (row.label, seed) for row in baseline_rows(resolved) for seed, one in row.steps.items()
    }
    planned = compile_plan(resolved, Facts.unknown(resolved)).sources
    titles = {str(step.id): step.title for step in planned}
    found = [
        SweepStep(position, key(one), StepKind.SOURCE, titles[one], id=one)
        for position, one in enumerate(wanted)
    ]
    for one, (label, seed) in wanted.items():
        if (label, seed) != ("adapter", 1):
            put_adapter(catalog, one, seed=seed, test={"accuracy": 0.5 + seed / 10})
    fail(catalog, next(one for one, row in wanted.items() if row == ("adapter", 1)), "diverged")
    sweep = catalog.open_sweep(key("sweep"), "demo", json.dumps(spec), recorded(found))
    summary = summarise(catalog, catalog.sweep(sweep.key), cache=tmp_path)
    assert summary.combiners == ("adapter", "head_only")
    one = summary.cell("glue/rte", "adapter")
    assert (one.test, one.expected_seeds) == ((0.5,), 2)
    assert [(gap.seed, gap.reason) for gap in one.gaps] == [(1, "diverged")]
    assert summary.cell("glue/rte", "head_only").is_whole


def test_what_cells_say_of_device_time_never_exceeds_what_all_steps_took(catalog, tmp_path, recorded):
    put_adapter(catalog, "source rte", test={"accuracy": 0.6}, seconds=3.0)
    put_adapter(catalog, "source cb", task="glue/cb", test={"accuracy": 0.5}, seconds=4.0)
    for target, computing in (("cb", 50.0), ("rte", 70.0)):
        name = f"{target} · scalearn"
        put_study(catalog, name, "source rte", "source cb", task=f"glue/{target}", seconds=computing)
        for seed in (0, 1):
            put_transfer(
                catalog, f"{name} {seed}", name, "source rte", "source cb", seed=seed, task=f"glue/{target}",
                test={"accuracy": 0.7}, seconds=1.0 + seed,
            )  # fmt: skip
    summary = summary_of(catalog, tmp_path, recorded)
    told = sum(
        (one.search_seconds or 0.0) + (one.seconds_a_run or 0.0) * len(one.test) for one in summary.cells
    )
    assert told == pytest.approx(133.0)
    assert told <= summary.device_seconds + 1e-9
    assert summary.search_seconds == 120.0
    assert summary.search_clock_seconds is None, "there is no storage of studies to ask"


def test_a_summary_says_how_its_sweep_was_made(catalog, tmp_path, recorded):
    record = put_adapter(catalog, "source rte", test={"accuracy": 0.6})
    (one,) = summary_of(catalog, tmp_path, recorded).background
    assert (one.sweep, one.key, one.backbone) == ("demo", key("sweep"), "folder:/nowhere")
    assert one.backbone_digest == record.backbone_digest
    assert one.submitted.endswith("+00:00")
    rows = {task.name: task for task in one.tasks}
    assert rows["glue/cb"].role == "target"
    assert rows[record.task].digest == record.task_digest
    assert json.loads(one.spec) == SPEC


def over_dimensions(catalog, tmp_path, spec):
    """Record a sweep of a spec, every run complete but the last; return its summary."""
    resolved = Spec.model_validate(spec)
    plan = compile_plan(resolved, Facts.unknown(resolved))
    found = [
        SweepStep(
            number, key(str(step.id)), step.kind, step.title, tuple(map(str, step.needs)), id=str(step.id)
        )
        for number, step in enumerate(plan.steps)
    ]
    for step in plan.sources:
        put_adapter(catalog, str(step.id), task=step.id.task, seed=step.id.seed, test={"accuracy": 0.5})
    for step in plan.studies:
        put_study(catalog, str(step.id), *map(str, step.needs), task=step.id.task)
    for step in plan.finals[:-1]:
        study = str(step.job.study)
        sources = [str(one) for one in next(one for one in plan.studies if str(one.id) == study).needs]
        value = 0.5 + step.id.seed / 100 + (step.id.source_seed or 0) / 10
        put_transfer(
            catalog,
            str(step.id),
            study,
            *sources,
            task=step.id.task,
            seed=step.id.seed,
            test={"accuracy": value},
        )
    sweep = catalog.open_sweep(key("sweep"), "demo", resolved.model_dump_json(), found)
    return summarise(catalog, catalog.sweep(sweep.key), cache=tmp_path)


DIMENSIONS = {
    "name": "demo",
    "backbone": {"source": "folder:/nowhere"},
    "pool": {"tasks": ["glue/rte", "superglue/cb"]},
    "targets": {"tasks": ["glue/rte"]},
    "combiner": {"kind": "scalearn"},
    "final": {"seeds": [3, 4]},
}


def test_runs_over_pools_of_several_seeds_are_one_row_that_names_each_runs_pool(catalog, tmp_path):
    summary = over_dimensions(catalog, tmp_path, {**DIMENSIONS, "source": {"seed": [1, 2]}})
    one = summary.cell("glue/rte", "scalearn")
    assert (one.source_seeds, one.seeds, one.expected_seeds) == ((1, 1, 2), (3, 4, 3), 4)
    assert one.test == pytest.approx((0.63, 0.64, 0.73))
    assert [(gap.source_seed, gap.seed, gap.state) for gap in one.gaps] == [(2, 4, "pending")]
    assert one.by_seed == pytest.approx({1: 0.635, 2: 0.73}), "a pool is one draw"
    assert (one.pool_size, one.few_shot) == (2, None)
    assert one.over(2).seeds == (3,)
    assert one.over(2).expected_seeds == 2
    assert {(layer.source_seed, layer.seed) for layer in summary.layers} == {(1, 3), (1, 4), (2, 3)}
    own = summary.cell("glue/rte", OWN_ADAPTER)
    assert (own.seeds, own.source_seeds, own.pool_size) == ((1, 2), (), None)


def test_rows_carry_the_number_of_rows_they_train_on(catalog, tmp_path):
    pool = {"tasks": ["glue/rte", "superglue/cb"], "size": [1, 2]}
    summary = over_dimensions(
        catalog, tmp_path, {**DIMENSIONS, "pool": pool, "data": {"few_shot": [8, "all"]}}
    )
    found = {one.combiner: (one.is_baseline, one.few_shot, one.pool_size) for one in summary.cells}
    assert found == {
        "own adapter 8 rows": (True, 8, None),
        "own adapter all rows": (True, None, None),
        "scalearn 1 source 8 rows": (False, 8, 1),
        "scalearn 2 sources 8 rows": (False, 8, 2),
        "scalearn 1 source all rows": (False, None, 1),
        "scalearn 2 sources all rows": (False, None, 2),
    }
    document = summary.to_json()["cells"]
    assert [(one["few_shot"], one["pool_size"], one["source_seeds"]) for one in document[:3]] == [
        (8, None, ()),
        (None, None, ()),
        (8, 1, (0, 0)),
    ]
