"""A tracking server that goes away in the middle: training goes on, and everything is written once."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from adapterlab.errors import UnavailableError
from adapterlab.records import State
from adapterlab.tracking import store
from adapterlab.tracking.tracker import Tracker


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Server:
    """A real ``mlflow server`` that can be killed and started again."""

    def __init__(self, place) -> None:
        self._place = place
        self._port = _free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", self._place.uri]
        command += ["--artifacts-destination", self._place.artifacts]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **quiet},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):  # noqa: S310
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail("mlflow server did not start")

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(place):
    """A running tracking server over this test's store."""
    running = _Server(place)
    yield running
    running.kill()


def _open(server, place, **settings) -> Tracker:
    return Tracker.open(
        uri=server.uri, artifacts="unused", experiment="quickstart", spool=place.spool, **settings
    )


def _status(place) -> dict[str, str]:
    return {node: run.info.status for node, run in place.runs().items()}


@pytest.mark.slow
def test_server_that_is_killed_and_comes_back_gets_everything_once(server, place, caplog):
    with _open(server, place) as tracker:
        tracker.run("s", name="s", parent=None)
        run = tracker.run("s/0", name="0", parent="s", params={"lr": 0.1})
        for step in range(100):
            run.metrics({"loss": step}, step=step)
        assert tracker.flush()
        server.kill()
        started = time.monotonic()
        for step in range(100, 200):
            run.metrics({"loss": step}, step=step)
        late = tracker.run("s/1", name="1", parent="s")
        late.json("x.json", {"a": 1})
        late.end(State.COMPLETE)
        run.end(State.COMPLETE)
        assert time.monotonic() - started < 5, "handing over must not wait for the server"
        assert not tracker.flush(3)
        assert tracker.backlog > 0
        server.start()
        assert tracker.flush(90)
        assert tracker.problems == ()
    assert place.points("s/0", "loss") == [(step, float(step)) for step in range(200)]
    assert _status(place) == {"s": "RUNNING", "s/0": "FINISHED", "s/1": "FINISHED"}
    assert [path.name for path in Path(place.artifacts).rglob("*.json")] == ["x.json"]
    assert list(place.spool.iterdir()) == []
    assert "training goes on" in caplog.text
    assert "is back" in caplog.text


@pytest.mark.slow
def test_what_could_not_be_written_before_the_end_is_written_by_the_next_process(server, place):
    tracker = _open(server, place)
    run = tracker.run("s", name="s", parent=None)
    run.metrics({"loss": 0.0}, step=0)
    assert tracker.flush()
    server.kill()
    run.metrics({"loss": 1.0}, step=1)
    run.end(State.COMPLETE)
    assert tracker.reap("s") == [], "a store that is away is no reason to fail"
    tracker.close(timeout_s=1)
    assert len(list(place.spool.iterdir())) == 1
    server.start()
    with _open(server, place) as tracker:
        tracker.flush()
    assert place.points("s", "loss") == [(0, 0.0), (1, 1.0)]
    assert _status(place) == {"s": "FINISHED"}
    assert list(place.spool.iterdir()) == []


def test_server_that_is_not_there_is_said_within_seconds(place, monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    uri = f"http://me:secret@127.0.0.1:{_free_port()}"
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        Tracker.open(uri=uri, artifacts="", experiment="e", spool=place.spool)
    assert time.monotonic() - started < 20, "MLflow's own retries take minutes"
    assert "secret" not in str(caught.value)
    assert "mlflow server" in caught.value.remedy
    assert not place.spool.exists()


def test_limits_the_user_set_are_kept(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    store.configure("http://127.0.0.1:1")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "20"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


class _Overloaded(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Retry-After", "7")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_server_that_is_overloaded_is_asked_again_when_it_says():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Overloaded) as overloaded:
        threading.Thread(target=overloaded.serve_forever, daemon=True).start()
        answer = store.ping(f"http://127.0.0.1:{overloaded.server_port}")
        overloaded.shutdown()
    assert (answer.up, answer.retry_after_s) == (False, 7.0)
    assert "503" in answer.why
