"""Sources are selected by every rule, where one source is known to be the related one; killed in between, it is the same."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from adapterlab.catalog.store import Catalog, open_existing
from adapterlab.exporting.stored_models import open_trained
from adapterlab.reporting.collect import summarise
from selection_world import RELATED, SOURCES, TARGET, write_selection_world
from tiny_world import platform, start_platform

RULES = ("text_similarity", "adapter_similarity", "forward_selection")
SELECTION = f"size = 3\nrule = {json.dumps(RULES)}\nselection = {{ max_epochs = 6 }}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_rule_finds_the_related_source_whatever_the_order_and_whoever_is_killed(tmp_path):
    spec = write_selection_world(tmp_path, SELECTION, epochs=12)
    home = tmp_path / "home"
    done = platform(home, "submit", str(spec))
    assert done.returncode == 0, done.stderr
    with open_home(home) as catalog:
        found = {one.rule: one for one in catalog.selections()}
        assert {rule: found[rule].sources[0].task for rule in RULES} == dict.fromkeys(RULES, RELATED)
        assert [{one.task for one in found[rule].sources} for rule in RULES] == [set(SOURCES)] * len(RULES)
        assert found["forward_selection"].settings["count"] == 2
        for study in catalog.studies():
            assert study.selection is not None
            ranked = [one.task for one in catalog.get_selection(study.selection).sources]
            tasks = [one.task for one in study.pool]
            assert tasks == [*ranked[:2], TARGET]
            assert study.pool[0].task == RELATED
        transfer = catalog.transfers()[0]
        study = catalog.get_study(transfer.study_key)
        assert [one.task for one in open_trained(catalog, transfer.key).sources] == [
            one.task for one in study.pool
        ]
    check_shown(home)

    turned = write_selection_world(tmp_path, SELECTION, epochs=12, pool=(TARGET, *reversed(SOURCES)))
    again = platform(home, "submit", str(turned), "--json")
    assert json.loads(again.stdout)["outcome"]["nothing_to_do"], again.stdout

    before = found["forward_selection"]
    forget(home, before.key)
    kill_in_selection(home, turned)
    resumed = platform(home, "submit", str(turned))
    assert resumed.returncode == 0, resumed.stderr
    with open_home(home) as catalog:
        after = catalog.get_selection(before.key)
    assert after.sources == before.sources
    assert after.train_rows == before.train_rows
    assert not list((home / "blobs" / "checkpoints").glob("*"))


def open_home(home: Path) -> Catalog:
    catalog = open_existing(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks")
    assert catalog is not None
    return catalog


def check_shown(home: Path) -> None:
    """Look for what was selected in MLflow and the report."""
    with sqlite3.connect(home / "mlflow.db") as connection:
        params = set(
            connection.execute("SELECT key, value FROM params WHERE key IN ('selection', 'sources')")
        )
        metrics = {name for (name,) in connection.execute("SELECT DISTINCT key FROM metrics")}
    connection.close()
    assert {value for name, value in params if name == "selection"} == set(RULES)
    assert all(
        value.startswith("middle, ") and value.endswith(", goal")
        for name, value in params
        if name == "sources"
    )
    assert "source_score/middle" in metrics
    with open_home(home) as catalog:
        summary = summarise(catalog, catalog.sweep("selecting"), cache=home / "cache")
    assert [one.sources[0][0] for one in summary.selections] == [RELATED] * len(RULES)


def forget(home: Path, selection: str) -> None:
    """Remove a selection with all that was made from it."""
    with open_home(home) as catalog:
        studies = [one for one in catalog.studies() if one.selection == selection]
        for study in studies:
            for transfer in catalog.transfers(study_key=study.key):
                catalog.remove(transfer.key)
            catalog.remove(study.key)
        catalog.remove(selection)


def kill_in_selection(home: Path, spec: Path) -> None:
    """Submit a spec, and kill it when the first set of sources is kept."""
    running = start_platform(home, "submit", str(spec))
    checkpoints = home / "blobs" / "checkpoints"
    ends = time.monotonic() + 240
    while not list(checkpoints.glob("*")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < ends
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    with open_home(home) as catalog:
        assert "forward_selection" not in {one.rule for one in catalog.selections()}
