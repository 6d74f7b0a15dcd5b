"""A prepared MLflow store for each test, and several real processes at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapterlab.tracking import schema
from adapterlab.tracking.tracker import Tracker


@dataclass(frozen=True)
class Place:
    """Where one test's runs are."""

    folder: Path
    uri: str

    @property
    def artifacts(self) -> str:
        return str(self.folder / "artifacts")

    @property
    def locks(self) -> Path:
        return self.folder / "locks"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def open(self, **settings) -> Tracker:
        """Open a tracker here."""
        defaults = {"experiment": "quickstart", "spool": self.spool, "locks": self.locks}
        return Tracker.open(uri=self.uri, artifacts=self.artifacts, **{**defaults, **settings})

    def write_tree(self, tracker: Tracker) -> None:
        """Write the runs of a small sweep: a source adapter, and a study with one trial."""
        tracker.run("s", name="sweep · quickstart", parent=None)
        tracker.run("s/source/a", name="source · mnli · seed 0", parent="s")
        tracker.run("s/study", name="rte · scalearn", parent="s")
        tracker.run(
            "s/study/0",
            name="rte · scalearn · lr 6e-3 · init 2 · dropout 0.3",
            parent="s/study",
            params={"lr": 0.006, "init_scale": 2.0, "dropout": 0.3},
        )

    def client(self):
        """MLflow's own client, to look at what was really written."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    def runs(self) -> dict:
        """Every run of the store by its node; fails on a node that has two."""
        client = self.client()
        found = {}
        for run in client.search_runs(
            [e.experiment_id for e in client.search_experiments()], max_results=5000
        ):
            node = run.data.tags["adapterlab.node"]
            assert node not in found, f"{node} has two runs"
            found[node] = run
        return found

    def points(self, node: str, key: str) -> list[tuple[int, float]]:
        """Every point of one metric, in the order of steps."""
        history = self.client().get_metric_history(self.runs()[node].info.run_id, key)
        return sorted((point.step, point.value) for point in history)


@pytest.fixture(scope="session")
def prepared_store(tmp_path_factory) -> Path:
    """One SQLite store with its schema; making it takes seconds, so tests get copies."""
    folder = tmp_path_factory.mktemp("prepared")
    path = folder / "mlflow.db"
    schema.initialise(f"sqlite:///{path}", str(folder / "artifacts"), folder / "locks")
    return path


@pytest.fixture
def place(tmp_path, prepared_store) -> Place:
    """A prepared, empty SQLite store of this test's own; its path has a space."""
    folder = tmp_path / "a home"
    folder.mkdir()
    shutil.copyfile(prepared_store, folder / "mlflow.db")
    return Place(folder, f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def in_processes():
    """Run a piece of code in ``count`` real processes at once; return what each printed."""

    def run(count: int, code: str, *arguments: str, timeout_s: float = 280) -> list[str]:
        program = f"""
import os, sys, time
from adapterlab.tracking import store
store.configure("sqlite:///x")
import mlflow.tracking, mlflow.store.tracking.sqlalchemy_store  # once, before the fork
number, arguments = 0, sys.argv[2:]
start = time.monotonic() + 0.5
children = []
for number in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        break
    children.append(child)
else:
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
time.sleep(max(0.0, start - time.monotonic()))
{textwrap.dedent(code)}
sys.stdout.flush()
"""
        done = subprocess.run(
            [sys.executable, "-c", program, str(count), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run
