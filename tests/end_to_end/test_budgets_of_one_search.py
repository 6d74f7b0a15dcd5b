"""Two sweeps that differ in the budget of their search only: one search, and for each what it has alone."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from adapterlab.catalog.store import Catalog, open_catalog
from faults import stop_between_transactions, wait_for_rows
from tiny_world import platform, start_platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    """A spec that trains for a few seconds; its search is cheap."""
    return write_world(tmp_path_factory.mktemp("world"), epochs=4, rows=120, lease_s=6.0)


def budget(trials: int) -> list[str]:
    return ["--set", f"search.trials={trials}", "--set", f"name=budget-{trials}"]


def submit(home: Path, spec: Path, trials: int) -> None:
    done = platform(home, "submit", str(spec), *budget(trials), "--set", "cluster.launcher=in_process")
    assert done.returncode == 0, done.stderr


def catalog_of(home: Path) -> Catalog:
    return open_catalog(f"sqlite:///{home / 'catalog.db'}", str(home / "blobs"), locks=home / "locks")


def results(home: Path, trials: int) -> tuple[list, list]:
    """What the catalog has of the studies with this budget and of their final runs, down to the weights' digests."""
    with catalog_of(home) as catalog:
        studies = [one for one in catalog.studies(limit=None) if sum(one.trials.values()) == trials]
        keys = {one.key for one in studies}
        finals = [one for one in catalog.transfers(limit=None) if one.study_key in keys]
    assert len(studies) == 2
    assert len(finals) == 4
    return (
        sorted(
            (one.key, one.best_trial, one.best_value, dict(one.best_settings), one.trials) for one in studies
        ),
        sorted((one.key, one.test, one.validation, one.blob) for one in finals),
    )


@pytest.fixture(scope="module")
def alone(spec, tmp_path_factory) -> tuple[list, list]:
    """The results of the budget of 2 in a home where nothing else was searched."""
    home = tmp_path_factory.mktemp("alone") / "home"
    submit(home, spec, 2)
    return results(home, 2)


def check_each_trial_was_trained_once(home: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`adapterlab.kind` = 'trial'", max_results=1000)
    trained = Counter((run.data.params["method"], run.data.params["trial"]) for run in runs)
    assert set(trained.values()) == {1}, trained


def test_a_smaller_budget_after_a_larger_one_is_what_it_is_alone(spec, alone, tmp_path):
    home = tmp_path / "home"
    submit(home, spec, 5)
    submit(home, spec, 2)
    assert results(home, 2) == alone
    check_each_trial_was_trained_once(home)


def test_two_budgets_at_once_train_each_trial_once(spec, alone, tmp_path):
    home = tmp_path / "home"
    processes = [start_platform(home, "submit", str(spec), *budget(trials)) for trials in (5, 2)]
    outputs = [process.communicate(timeout=400)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert results(home, 2) == alone
    check_each_trial_was_trained_once(home)


def test_when_the_holder_of_a_search_is_killed_the_other_takes_over(spec, alone, tmp_path):
    home = tmp_path / "home"
    holder = start_platform(home, "submit", str(spec), *budget(5))
    wait_for_rows(home / "studies.db", "trials")
    follower = start_platform(home, "submit", str(spec), *budget(2))
    time.sleep(1.0)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    output, _ = follower.communicate(timeout=300)
    assert follower.returncode == 0, output
    assert results(home, 2) == alone


@pytest.mark.parametrize("rows", [120, 6000])
def test_a_driver_that_slept_while_its_study_went_to_another_waits_for_it_and_gives_the_search_back(
    rows, tmp_path
):
    """Else each would wait for what the other has: one for the search, one for the study.

    With few rows its worker notices first that the study is lost, with many the thread that renews its claims.
    """
    home, spec = tmp_path / "home", write_world(tmp_path / "world", epochs=2, rows=rows, lease_s=5.0)
    sleeper = start_platform(home, "submit", str(spec), "--set", "cluster.launcher=in_process")
    try:
        wait_for_rows(home / "studies.db", "trials")
        stop_between_transactions(sleeper, home / "catalog.db")
        steps, searches = steps_and_claimed_searches(home)
        assert searches
        time.sleep(6.0)  # longer than its lease
        with catalog_of(home) as catalog:
            taken = catalog.claim_many(sorted(steps), owner="another", lease_s=600)
            assert taken
            sleeper.send_signal(signal.SIGCONT)
            time.sleep(4.0)  # it renews what nobody took
            deadline = time.monotonic() + 60
            while any(catalog.holder(search) for search in searches):
                assert time.monotonic() < deadline, "it keeps a search of which it has no study"
                time.sleep(0.2)
            catalog.release(taken.values())
        output, _ = sleeper.communicate(timeout=300)
        assert sleeper.returncode == 0, output
    finally:
        sleeper.kill()


def steps_and_claimed_searches(home: Path) -> tuple[set[str], set[str]]:
    """Return the keys of a sweep's steps, and those of the searches that somebody has."""
    with closing(sqlite3.connect(home / "catalog.db")) as file:
        steps, sweeps, claimed = (
            {key for (key,) in file.execute(query)}
            for query in (
                "SELECT step_key FROM sweep_steps",
                "SELECT key FROM sweeps",
                "SELECT step_key FROM claims WHERE owner IS NOT NULL",
            )
        )
    return steps, claimed - steps - sweeps
