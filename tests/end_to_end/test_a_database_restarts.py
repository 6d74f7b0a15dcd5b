"""PostgreSQL is away while a sweep runs: waited for, and said; away for longer than a lease: exit 5, in words."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from own_postgres import OwnPostgres, server
from process_output import finish
from tiny_world import platform, start_platform, write_world

__all__ = ["server"]

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture
def stores(server: OwnPostgres) -> list[str]:
    """Options of a sweep that keeps everything but weights on the server."""
    urls = [server.database(f"{use}_{uuid.uuid4().hex[:8]}") for use in ("catalog", "studies", "mlflow")]
    names = ("store.catalog", "store.studies", "tracking.uri")
    return [
        part for name, url in zip(names, urls, strict=True) for part in ("--set", f"{name}={json.dumps(url)}")
    ]


def said_until(process, word: str) -> str:
    """Read what a submit says until a line holds a word."""
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(f"ended without {word!r}: {said}")


@pytest.mark.parametrize("launcher", ["in_process", pytest.param("ray", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kill", [False, True])
def test_a_sweep_waits_for_its_database(server, stores, tmp_path, launcher, kill):
    spec = write_world(tmp_path, epochs=4, rows=120, lease_s=30.0)
    options = [*stores, "--set", f"cluster.launcher='{launcher}'"]
    process = start_platform(tmp_path / "home", "submit", str(spec), *options)
    said_until(process, "running")
    for _ in range(2):
        time.sleep(1.0)
        server.stop(kill=kill)
        time.sleep(4.0)
        server.start()
    said, _ = finish(process, 200)
    assert process.returncode == 0, said
    assert "does not answer, waiting" in said
    assert "Traceback" not in said
    again = platform(tmp_path / "home", "submit", str(spec), *options, "--json")
    assert json.loads(again.stdout)["outcome"]["nothing_to_do"]


@pytest.mark.parametrize("launcher", ["in_process", pytest.param("ray", marks=pytest.mark.nightly)])
def test_a_database_that_stays_away_ends_the_sweep_in_words(server, stores, tmp_path, launcher):
    spec = write_world(tmp_path, epochs=4, rows=120, lease_s=5.0)
    options = [*stores, "--set", f"cluster.launcher='{launcher}'"]
    process = start_platform(tmp_path / "home", "submit", str(spec), *options)
    said_until(process, "running")
    server.stop()
    try:
        said, _ = finish(process, 120)
    finally:
        server.start()
    assert process.returncode == 5, said
    assert "cannot use the catalog at" in said
    assert "Check that the server runs" in said
    done = platform(tmp_path / "home", "submit", str(spec), *options)
    assert done.returncode == 0, done.stderr


def test_a_database_that_was_away_for_too_long_fails_no_step(server, stores, tmp_path):
    """Whoever misses it first gives up, and what comes next may find it back: the sweep goes on or ends, no step fails."""
    spec = write_world(tmp_path, epochs=4, rows=120, lease_s=5.0)
    options = [*stores, "--set", "cluster.launcher='in_process'"]
    process = start_platform(tmp_path / "home", "submit", str(spec), *options)
    said_until(process, "running")
    server.stop()
    time.sleep(8.0)
    server.start()
    said, _ = finish(process, 120)
    assert process.returncode in {0, 5}, said
    assert ": failed" not in said
    done = platform(tmp_path / "home", "submit", str(spec), *options)
    assert done.returncode == 0, done.stderr
