"""Searches of baselines and of the pool's own training beside combiners': one table, and one record whoever dies."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from statistics import fmean

import pytest

from adapterlab.catalog.store import open_catalog
from faults import wait_for_rows
from tiny_world import platform, start_platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEARCHED = """
[[baseline]]
method = "lora"
lr = { low = 1e-3, high = 1e-2, log = true }
batch_size = { choices = [16, 32] }
settings = { r = { low = 1, high = 4 } }

[[baseline]]
method = "pfeiffer"
name = "fixed"
lr = 5e-3
settings = { reduction_factor = 8 }
"""
OVERRIDES = (
    "--set", "cluster.launcher=in_process",
    "--set", "source.lr={ low = 1e-3, high = 1e-2, log = true }",
    "--set", "adapter.settings={ reduction_factor = { choices = [4, 8] } }",
    "--set", "transfer.warmup_ratio={ low = 0.0, high = 0.3 }",
    "--set", "combiner.kind=scalearn",
    "--set", "search.seeds_per_trial=2",
)  # fmt: skip
OF_THE_RUN = {"seconds", "run_id", "created_at", "device", "provenance"}


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    path = write_world(tmp_path_factory.mktemp("world"), trials=2, lease_s=5.0)
    path.write_text(path.read_text() + SEARCHED)
    return path


def record(home: Path) -> dict[str, dict]:
    """Everything the catalog has of the sweep, by step, but for what is a matter of the run."""
    with open_catalog(
        f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks"
    ) as catalog:
        (sweep,) = catalog.sweeps()
        steps = catalog.sweep(sweep.key).steps
        found = {step.id: catalog.get(step.key).to_json() for step in steps}
    return {
        step: {name: value for name, value in one.items() if name not in OF_THE_RUN}
        for step, one in found.items()
    }


@pytest.fixture(scope="module")
def home(spec, tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("alone") / "home"
    done = platform(home, "submit", str(spec), *OVERRIDES)
    assert done.returncode == 0, done.stderr
    return home


def test_what_was_chosen_is_what_every_run_is_trained_with(home):
    found = record(home)
    for study, label in (("lora", "lora/"), ("source", "")):
        chosen = found[f"study/glue/rte/{study}"]["best_settings"]
        seeds = (0, 1) if study == "lora" else (0,)
        for seed in seeds:
            run = found[f"source/glue/rte/{label}seed={seed}"]
            kept = {**run["settings"]["adapter"], **run["settings"]["training"]}
            assert {name: kept[name] for name in chosen} == chosen
    search = found["study/glue/rte/lora"]
    assert (search["combiner"], search["pool"]) == ("lora", [])
    assert sum(search["trials"].values()) == 2
    both = [found[f"source/glue/rte/lora/seed={seed}"]["metric_value"] for seed in (0, 1)]
    assert fmean(both) == pytest.approx(search["best_value"]), "the best trial's runs are those of its seeds"


def test_the_report_tells_each_rows_search_and_only_final_runs_saw_the_test_split(home, spec, tmp_path):
    (name,) = {
        line.split('"')[1] for line in spec.read_text().splitlines() if line.startswith('name = "tiny')
    }
    done = platform(home, "report", name, "--to", str(tmp_path / "report"))
    assert done.returncode == 0, done.stderr
    with (tmp_path / "report" / "cells.csv").open() as file:
        rows = {one["method"]: one for one in csv.DictReader(file)}
    assert list(rows) == ["lora", "fixed", "scalearn"]
    assert [one["search_trials"] for one in rows.values()] == ["2", "", "2"]
    assert all(float(rows[one]["search_seconds"]) > 0 for one in ("lora", "scalearn"))
    assert all(int(rows[one]["search_train_rows"]) >= 2 * 2 * 60 for one in ("lora", "scalearn"))
    told = json.loads((tmp_path / "report" / "report.json").read_text())
    (pool,) = told["pool_searches"]
    assert (pool["searches"], pool["trials"]) == (2, 4)
    apart = {one["combiner"]: one["separation"] for one in told["cells"]}
    assert apart["fixed"] is None
    assert [(apart[one]["runs"], apart[one]["trials"]) for one in ("lora", "scalearn")] == [(2, 2)] * 2
    page = (tmp_path / "report" / "report.html").read_text()
    assert "2 searches, 4 trials" in page
    assert "what searches could tell apart" in page
    assert not any("test" in one for step, one in record(home).items() if step.startswith("study"))


def test_a_second_submit_has_nothing_to_do(home, spec):
    done = platform(home, "submit", str(spec), *OVERRIDES)
    assert done.returncode == 0, done.stderr
    assert "Nothing to train" in done.stdout + done.stderr


def test_killed_in_a_search_and_submitted_again_it_has_the_same_record(spec, home, tmp_path):
    killed = tmp_path / "home"
    process = start_platform(killed, "submit", str(spec), *OVERRIDES, "--set", "cluster.lanes=1")
    wait_for_rows(
        killed / "studies.db", "trials", 3
    )  # of two searches: one source of the pool is trained, the other is not
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = platform(killed, "submit", str(spec), *OVERRIDES)
    assert done.returncode == 0, done.stderr
    assert record(killed) == record(home)
