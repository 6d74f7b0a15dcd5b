"""Signals to whole groups, a Ray that dies, a database that restarts: said in words, and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from adapterlab.catalog.store import open_catalog
from process_output import finish
from tiny_world import platform, start_platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    """A spec whose training takes a few seconds, so that there is something to interrupt."""
    return write_world(tmp_path_factory.mktemp("world"), epochs=6, rows=200, lease_s=10.0)


class Submit:
    """A real submit in a process group of its own, and what it says."""

    def __init__(self, home: Path, spec: Path, *options: str) -> None:
        self.home = home
        self.process = start_platform(home, "submit", str(spec), *options)
        self.said = ""

    def wait_for(self, word: str) -> None:
        """Read what it says until a line holds a word."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if word in line:
                return
        raise AssertionError(f"ended without {word!r}: {self.said}")

    def descendants(self, name: str = "") -> list[psutil.Process]:
        """Return the processes it has started whose command line holds a name."""
        found = []
        for one in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if name in " ".join(one.cmdline()):
                    found.append(one)
            except psutil.Error:
                continue
        return found

    def end(self, within_s: float) -> int:
        """Wait for its end and return its exit code."""
        try:
            output, _ = finish(self.process, within_s)
        except subprocess.TimeoutExpired:
            for one in [*self.descendants(), psutil.Process(self.process.pid)]:
                one.kill()
            raise
        self.said += output
        return self.process.returncode


def state(home: Path) -> str:
    """Return the sweep's state in the catalog; no step may be running."""
    (status,) = json.loads(platform(home, "status", "--json").stdout)
    assert not [step for step in status["steps"] if step["state"] == "running"]
    return status["state"]


def runs(home: Path) -> list[str]:
    """Return the statuses of the sweep's runs in MLflow, its own first."""
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    return [
        run.info.status for run in sorted(found, key=lambda run: run.data.tags["adapterlab.kind"] != "sweep")
    ]


def results(home: Path) -> dict[str, tuple[str, float]]:
    """Return each adapter's and transfer's weights and metric by key."""
    with open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks") as one:
        adapters = {each.key: (each.blob, each.metric_value) for each in one.adapters(limit=None)}
        return adapters | {each.key: (each.blob, each.test_value) for each in one.transfers(limit=None)}


@pytest.mark.parametrize("launcher", ["ray", "in_process"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_to_the_group_stops_in_order(spec, tmp_path, number, code, launcher):
    submit = Submit(tmp_path / "home", spec, "--set", f"cluster.launcher='{launcher}'")
    submit.wait_for("running")  # a busy machine may show no epoch between
    os.killpg(submit.process.pid, number)
    assert submit.end(40) == code, submit.said
    assert f"stopped by {signal.Signals(number).name}" in submit.said
    assert "Traceback" not in submit.said
    assert state(tmp_path / "home") == "killed"
    found = runs(tmp_path / "home")
    assert found[0] == "KILLED"
    assert "RUNNING" not in found


@pytest.mark.parametrize(
    ("pause_s", "number"),
    [
        (0.3, signal.SIGINT),
        (1.5, signal.SIGTERM),
        (3.0, signal.SIGINT),
        pytest.param(0.3, signal.SIGTERM, marks=pytest.mark.nightly),
        pytest.param(1.5, signal.SIGINT, marks=pytest.mark.nightly),
        pytest.param(3.0, signal.SIGTERM, marks=pytest.mark.nightly),
    ],
)
def test_a_signal_while_ray_starts(spec, tmp_path, pause_s, number):
    submit = Submit(tmp_path / "home", spec)
    submit.wait_for("starting Ray")
    time.sleep(pause_s)
    os.killpg(submit.process.pid, number)
    assert submit.end(30) == 128 + number, submit.said
    assert f"stopped by {number.name}" in submit.said
    assert state(tmp_path / "home") == "killed"
    assert runs(tmp_path / "home") == ["KILLED"]


def test_a_signal_while_data_is_made_ready(tmp_path):
    spec = write_world(tmp_path / "world", rows=60_000)
    submit = Submit(tmp_path / "home", spec)
    submit.wait_for("rows")
    os.killpg(submit.process.pid, signal.SIGTERM)
    assert submit.end(20) == 143, submit.said
    assert state(tmp_path / "home") == "killed"
    assert runs(tmp_path / "home") == ["KILLED"]


@pytest.mark.parametrize("name", ["raylet/raylet", "gcs_server"])
def test_a_private_ray_that_dies_is_started_again(spec, tmp_path, name):
    submit = Submit(tmp_path / "home", spec)
    submit.wait_for("running")
    (victim,) = submit.descendants(f"/{name} ")[:1]
    victim.kill()
    assert submit.end(200) == 0, submit.said
    assert set(runs(tmp_path / "home")) == {"FINISHED"} or "RUNNING" not in runs(tmp_path / "home")
    assert state(tmp_path / "home") == "complete"


def test_a_worker_that_hangs_fails_only_the_step_it_hangs_in(spec, tmp_path):
    """One worker has both sources to do, one after the other; it is stopped in the first."""
    overrides = ["workers=1", "lanes=1", "max_retries=0", "step_timeout_s=30"]
    submit = Submit(
        tmp_path / "home", spec, *(f"--set=cluster.{one}" for one in overrides), "--set=combiner.kind=[]"
    )
    submit.wait_for(": running")
    # Ray has idle ones beside it, which have not loaded torch.
    max(submit.descendants("ray::"), key=lambda one: one.cpu_times().user).suspend()
    assert submit.end(150) == 6, submit.said
    assert "1 of 2 steps did not complete" in submit.said
    assert "not done after 30 s, which is cluster.step_timeout_s; its worker was killed" in submit.said
    assert "raise cluster.step_timeout_s" in submit.said
    assert state(tmp_path / "home") == "failed"
    assert sorted(runs(tmp_path / "home")) == ["FAILED", "FAILED", "FINISHED"]  # the sweep's, and a source's


def test_a_private_ray_that_dies_too_often_is_given_up(spec, tmp_path):
    submit = Submit(tmp_path / "home", spec, "--set", "cluster.max_retries=0")
    submit.wait_for("running")
    (victim,) = submit.descendants("/raylet/raylet ")[:1]
    victim.kill()
    assert submit.end(40) == 5, submit.said
    assert "this machine's Ray was lost while workers trained" in submit.said
    assert state(tmp_path / "home") == "killed"
    assert "RUNNING" not in runs(tmp_path / "home")
