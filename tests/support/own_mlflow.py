"""An MLflow server of a test's own, which it may kill and start again at its address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tiny_world import environment


class OwnMlflow:
    """A server on loopback; its state is in files."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
                *("--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}", "--workers", "1"),
                *("--artifacts-destination", str(self._folder / "artifacts")),
            ],
            env={**environment(self._folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=2)  # noqa: S310 - our own address
                return
            time.sleep(0.2)
        raise AssertionError("the MLflow server did not start")

    def stop(self, *, kill: bool = False) -> None:
        """End it and its children."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        self._process.wait(30)


@contextmanager
def own_mlflow(folder: Path) -> Iterator[OwnMlflow]:
    """Run a server until the block ends."""
    server = OwnMlflow(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop(kill=True)
