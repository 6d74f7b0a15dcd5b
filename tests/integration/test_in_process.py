"""A whole sweep in one process, without Ray: for a debugger, and for tests that need no cluster."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest

from adapterlab import api
from adapterlab.catalog.store import open_catalog
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver.preview import compile_spec
from adapterlab.driver.sweep import run_sweep
from adapterlab.errors import CancelledError, PartialFailureError
from adapterlab.spec.load import load_spec
from adapterlab.train.lane import Lane
from adapterlab.worker import worker
from tiny_world import environment, platform, start_platform, write_world

IN_PROCESS = ("--set", "cluster.launcher='in_process'")
SUBMIT = """
import json, sys
from adapterlab import api
outcome = api.submit(sys.argv[1], sys.argv[2:])
with api.open_catalog() as catalog:
    sweep = catalog.sweep(outcome.sweep_key)
    finders = {"source": catalog.find_adapter, "study": catalog.find_study, "transfer": catalog.find_transfer}
    found = {step.id: finders[str(step.kind)](step.key).to_json() for step in sweep.steps}
print(json.dumps({"ray": "ray" in sys.modules, "sweep": outcome.sweep_key, "state": sweep.state, "found": found}))
"""
OF_THE_RUN = {"seconds", "run_id", "created_at", "blob", "device"}


def submitted(home, spec, *overrides):
    """Submit in a process of its own; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", SUBMIT, str(spec), *overrides],
        env=environment(home), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


KEPT = """
import json, sys
import adapterlab
from adapterlab.data.metrics import compute
found = []
with adapterlab.open_catalog() as catalog:
    sweep = catalog.sweep(sys.argv[1])
    for step in sweep.steps:
        if str(step.kind) == "study":
            continue
        record, kept = catalog.get(step.key), adapterlab.kept_predictions(step.key)
        names = list(record.test)
        found.append([record.test, compute(names, predictions=kept.predictions, labels=kept.labels)])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def alone(world, home):
    """What an in-process submit leaves in its catalog."""
    return submitted(home, world, "cluster.launcher='in_process'", "cluster.lanes=4")


def test_results_that_a_killed_submit_published_without_their_run_get_it_from_the_next(home, world, alone):
    """A worker publishes while MLflow is behind; killed before the end, its driver could not link the two."""
    keys = [(found["key"], found["run_id"]) for found in alone["found"].values()]
    assert all(run for _, run in keys)
    with sqlite3.connect(home / "catalog.db") as connection:
        for table in ("adapters", "studies", "transfers"):
            connection.execute(f"UPDATE {table} SET run_id = NULL")
        connection.execute("UPDATE sweeps SET state = 'killed'")
    connection.close()
    again = submitted(home, world, "cluster.launcher='in_process'", "cluster.lanes=4")
    assert [(found["key"], found["run_id"]) for found in again["found"].values()] == keys


def test_every_run_keeps_the_answers_that_its_test_metrics_are_of(home, alone):
    done = subprocess.run(
        [sys.executable, "-c", KEPT, alone["sweep"]],
        env=environment(home), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) > 2
    assert all(again == pytest.approx(recorded) for recorded, again in found)


def test_a_sweep_runs_to_its_end_without_ray(alone):
    assert (alone["ray"], alone["state"]) == (False, "complete")
    assert [step.split("/")[0] for step in alone["found"]] == [
        "source", "source", "study", "transfer", "transfer", "study", "transfer", "transfer",
    ]  # fmt: skip


def test_a_search_takes_no_longer_than_the_clock_says(alone, home):
    """Its trials share passes: the sum of their times by the clock was told instead."""
    for step, found in alone["found"].items():
        if step.startswith("study/"):
            study = optuna.load_study(
                study_name=found["study_name"], storage=f"sqlite:///{home / 'studies.db'}"
            )
            trials = study.get_trials()
            begun, ended = (
                min(one.datetime_start for one in trials),
                max(one.datetime_complete for one in trials),
            )
            assert 0 < found["seconds"] <= (ended - begun).total_seconds()
            assert found["seconds"] == pytest.approx(sum(one.user_attrs["computing_s"] for one in trials))
            together = sum(one.duration.total_seconds() for one in trials)
            assert together > (ended - begun).total_seconds(), "no two trials shared a pass"


@pytest.mark.slow
def test_through_ray_the_keys_and_the_numbers_are_the_same(world, alone, tmp_path):
    through_ray = submitted(tmp_path, world)
    assert list((tmp_path / "logs").glob("session_2*")), "no Ray was started"
    assert not through_ray["ray"], "Ray belongs into a process of its own"
    assert through_ray["sweep"] == alone["sweep"]
    assert through_ray["found"].keys() == alone["found"].keys()
    for step, theirs in through_ray["found"].items():
        ours = alone["found"][step]
        assert theirs.keys() == ours.keys()
        for name in theirs.keys() - OF_THE_RUN:
            expected = pytest.approx(ours[name]) if isinstance(ours[name], float) else ours[name]
            assert theirs[name] == expected, f"{step}: {name}"


def test_an_order_that_fails_fails_its_steps_with_the_same_error(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    loaded = load_spec(str(write_world(tmp_path)), ["cluster.launcher='in_process'"])
    plan = compile_spec(loaded)
    weights = tmp_path / "backbone" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    with pytest.raises(PartialFailureError, match="the plan was made for") as error:
        run_sweep(
            plan,
            loaded.resolved(),
            stores=loaded.stores(),
            spec_toml=loaded.text,
            library=TaskLibrary.of_loaded(loaded),
        )
    assert error.value.details["failed"].keys() == {str(step.id) for step in plan.steps}
    log = (tmp_path / "home" / "logs" / "in_process.log").read_text()
    assert "BackboneError" in log
    assert "_load_backbone" in log


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_end_of_an_epoch_and_leaves_nothing_running(tmp_path, number):
    spec, home = write_world(tmp_path, epochs=400), tmp_path / "home"
    patient = ("--set", "source.patience=400")
    running = start_platform(home, "submit", str(spec), *IN_PROCESS, *patient)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        told = platform(home, "status", "tiny", "--json")
        if told.returncode == 0 and '"epoch ' in told.stdout:
            break
        time.sleep(0.5)
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 128 + number, output
    assert f"stopped by {signal.Signals(number).name}" in output
    (sweep,) = json.loads(platform(home, "status", "--json").stdout)
    assert sweep["state"] == "killed"
    assert "running" not in {step["state"] for step in sweep["steps"]}


@pytest.mark.slow
def test_a_budget_stops_a_sweep_and_a_larger_one_goes_on(tmp_path):
    spec, home = write_world(tmp_path, epochs=60), tmp_path / "home"
    words = ("submit", str(spec), *IN_PROCESS, "--set", "source.patience=60", "--set", "combiner.kind=[]")
    stopped = platform(home, *words, "--set", "cluster.max_hours=1e-6")
    assert stopped.returncode == 7, stopped.stderr
    assert "its budget is spent" in stopped.stderr
    (sweep,) = json.loads(platform(home, "status", "--json").stdout)
    assert (sweep["state"], sweep["exit_code"]) == ("stopped", 7)
    assert {step["state"] for step in sweep["steps"]} == {"stopped"}
    assert sweep["device_seconds"] >= 1e-6 * 3600
    again = platform(home, *words, "--set", "cluster.max_hours=1e-6")
    assert again.returncode == 7
    (unchanged,) = json.loads(platform(home, "status", "--json").stdout)
    assert unchanged["device_seconds"] == sweep["device_seconds"]
    assert platform(home, *words).returncode == 0
    (done,) = json.loads(platform(home, "status", "--json").stdout)
    assert (done["key"], done["state"]) == (sweep["key"], "complete")
    assert done["device_seconds"] > sweep["device_seconds"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_whose_time_is_up_is_one_of_so_many_trials(world, tmp_path):
    options = ("--set", "search.trials=60", "--set", "search.budget_minutes=0.03", *IN_PROCESS)
    home = tmp_path / "timed"
    done = platform(home, "submit", str(world), *options)
    assert done.returncode == 0, done.stderr
    assert "Search: at most 0.03 min a study, " in done.stdout
    again = platform(home, "submit", str(world), *options)
    assert again.returncode == 0, again.stderr
    assert "Nothing to train" in again.stdout + again.stderr
    with open_catalog(
        f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks"
    ) as catalog:
        study = next(one for one in catalog.studies(limit=None) if one.combiner == "scalearn")
    count = sum(study.trials.values())
    assert 1 <= count < 60
    other = submitted(tmp_path / "counted", world, "cluster.launcher='in_process'", f"search.trials={count}")
    (same,) = [
        found for step, found in other["found"].items() if step.endswith("rte/scalearn") and "study" in step
    ]
    mine = json.loads(json.dumps(study.to_json()))
    assert {name: mine[name] for name in ("best_trial", "best_value", "best_settings", "trials")} == {
        name: same[name] for name in ("best_trial", "best_value", "best_settings", "trials")
    }


def test_a_cancelled_sweep_waits_for_a_pass_and_not_for_the_end_of_an_epoch(world, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(worker, "_CANCEL_POLL_S", 0.0)
    loaded = load_spec(
        str(world), ["cluster.launcher='in_process'", "cluster.lanes=1", "source.batch_size=2"]
    )
    plan = compile_spec(loaded)
    steps, step = [], Lane.next_step

    def cancelled(lane):
        steps.append(lane.name)
        api.cancel(str(plan.key))
        return step(lane)

    monkeypatch.setattr(Lane, "next_step", cancelled)
    with pytest.raises(CancelledError):
        run_sweep(
            plan, loaded.resolved(), stores=loaded.stores(), spec_toml=loaded.text,
            library=TaskLibrary.of_loaded(loaded),
        )  # fmt: skip
    assert len(steps) == 1
