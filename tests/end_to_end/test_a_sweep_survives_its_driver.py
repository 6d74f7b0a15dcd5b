"""Killed at any point, stopped, cancelled or started eight times at once: the same final counts."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from adapterlab.catalog.store import open_catalog
from adapterlab.search.study import read_trials
from tiny_world import platform, start_platform, write_world

EXPECTED_RUNS = {"sweep": 1, "source": 2, "study": 2, "baseline": 1, "trial": 6, "final": 4}


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    """A spec whose training takes a few seconds, so that there is something to interrupt."""
    return write_world(tmp_path_factory.mktemp("world"), epochs=6, rows=200, lease_s=6.0)


def check_final_counts(home: Path) -> None:
    """Every step once, every trial once, every run once, nothing running."""
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        assert len(list(one.adapters(limit=None))) == 2
        studies = list(one.studies(limit=None))
        assert len(studies) == 2
        assert len(list(one.transfers(limit=None))) == 4
    for study in studies:
        trials = read_trials(f"sqlite:///{home / 'studies.db'}", study.study_name)
        assert [trial.number for trial in trials] == [0, 1, 2]
        assert {str(trial.state) for trial in trials} <= {"complete", "pruned"}
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert dict(Counter(run.data.tags["adapterlab.kind"] for run in runs)) == EXPECTED_RUNS
    assert "RUNNING" not in {run.info.status for run in runs}
    for run in runs:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "validation/loss")]
        assert len(steps) == len(set(steps))
    assert platform(home, "doctor", "--json").returncode in {0, 1}


def adapters_claimed(home: Path) -> dict[str, int]:
    """Return how often each adapter's step was claimed; once means trained once."""
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        keys = [adapter.key for adapter in one.adapters(limit=None)]
        return {key: status.attempts for key, status in one.status(keys).items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_points_and_submitted_again(spec, tmp_path):
    """Three kills with ``kill -9`` between one second and the whole length of a sweep."""
    home, draw = tmp_path / "home", random.Random(20231017)
    for _ in range(3):
        process = start_platform(home, "submit", str(spec))
        try:
            process.wait(timeout=draw.uniform(4, 30))
        except Exception:  # noqa: BLE001 - the time-out is the point
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    done = platform(home, "submit", str(spec), timeout_s=400)
    assert done.returncode == 0, done.stderr
    check_final_counts(home)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_processes_submit_into_an_empty_home(spec, tmp_path):
    """Each adapter is trained once, and all eight succeed."""
    home = tmp_path / "home"
    processes = [start_platform(home, "submit", str(spec)) for _ in range(8)]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert set(adapters_claimed(home).values()) == {1}
    check_final_counts(home)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.nightly), (signal.SIGTERM, 143)],
)
def test_stopped_by_a_signal_and_submitted_again(spec, tmp_path, number, code):
    home = tmp_path / "home"
    process = start_platform(home, "submit", str(spec))
    wait_until_training(home)
    process.send_signal(number)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == code, output
    (status,) = json.loads(platform(home, "status", "--json").stdout)
    assert status["state"] == "killed"
    assert not [step for step in status["steps"] if step["state"] == "running"]
    done = platform(home, "submit", str(spec))
    assert done.returncode == 0, done.stderr
    check_final_counts(home)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_cancelled_from_another_process_and_submitted_again(spec, tmp_path):
    home = tmp_path / "home"
    process = start_platform(home, "submit", str(spec))
    wait_until_training(home)
    cancelled = platform(home, "cancel", "tiny", "--json")
    assert json.loads(cancelled.stdout)["cancelled"] is True
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    done = platform(home, "submit", str(spec))
    assert done.returncode == 0, done.stderr
    check_final_counts(home)
    again = platform(home, "cancel", "tiny", "--json")
    assert (again.returncode, json.loads(again.stdout)["cancelled"]) == (0, False)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_several_workers_share_a_study(spec, tmp_path):
    home = tmp_path / "home"
    done = platform(
        home, "submit", str(spec), "--set", "cluster.workers_per_study=2", "--set", "cluster.lanes=1"
    )
    assert done.returncode == 0, done.stderr
    check_final_counts(home)


def wait_until_training(home: Path, timeout_s: float = 120) -> None:
    """Wait until some step has finished an epoch."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        listed = platform(home, "status", "--json")
        if listed.returncode == 0:
            for sweep in json.loads(listed.stdout):
                if any(step["done"] for step in sweep["steps"]):
                    return
        time.sleep(0.5)
    raise AssertionError("nothing was trained in time")
