"""The same spec on PostgreSQL and an MLflow server, as a team runs it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from catalogs import postgres_url
from tiny_world import environment, platform, write_world

__all__ = ["postgres_url"]


@pytest.fixture
def database(postgres_url):
    """A fresh database on a real server."""
    name = f"team_{uuid.uuid4().hex[:8]}"
    with create_engine(postgres_url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def mlflow_server(tmp_path):
    """A real MLflow server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--workers", "1"),
            *("--artifacts-destination", str(tmp_path / "server-artifacts")),
        ],
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2)  # noqa: S310 - our own address
            break
        except OSError:
            time.sleep(0.5)
    yield url
    process.terminate()
    process.wait(30)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(600)
def test_a_team_sweeps_on_postgresql_and_an_mlflow_server(tmp_path, database, mlflow_server):
    spec = write_world(tmp_path)
    stores = [
        *("--set", f'store.catalog="{database}"'),
        *("--set", f'store.studies="{database}"'),
        *("--set", f'tracking.uri="{mlflow_server}"'),
    ]
    done = platform(tmp_path / "home", "submit", str(spec), *stores, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"]["trained"] == {
        "joint": 0,
        "selection": 0,
        "source": 2,
        "study": 2,
        "transfer": 4,
    }

    # A colleague on another machine, with nothing but the same stores, trains nothing.
    again = platform(tmp_path / "other home", "submit", str(spec), *stores, "--json")
    assert again.returncode == 5  # the weights are in the first one's folder, not here
    assert "store.blobs" in again.stdout
    blobs = ["--set", f'store.blobs="{tmp_path / "home" / "blobs"}"']
    again = platform(tmp_path / "third home", "submit", str(spec), *stores, *blobs, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["outcome"]["nothing_to_do"]

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_server)
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert len(runs) == 16
    assert "RUNNING" not in {run.info.status for run in runs}
