"""A real Chromium, and the MLflow servers that tests look at with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_START_TIMEOUT_S = 120.0


@contextmanager
def fresh_page(*, timeout_s: float = 30.0) -> Iterator[Any]:
    """Open a browser that remembers nothing of earlier visits; skip the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(1000 * timeout_s)
        yield page
        browser.close()


@contextmanager
def platform_ui(home: Path) -> Iterator[tuple[str, str]]:
    """Run ``platform ui`` for a home folder; yield its address and what it has printed."""
    port = free_port()
    program = "import sys; from adapterlab.cli.main import main; sys.exit(main())"
    ui = subprocess.Popen(
        [sys.executable, "-c", program, "ui", "--port", str(port)],
        env={**_outside(), "ADAPTERLAB_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ui.stdout is not None
    said: list[str] = []
    for line in ui.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    else:
        pytest.fail(f"platform ui did not start: {''.join(said)}")
    yield f"http://127.0.0.1:{port}", "".join(said)
    ui.send_signal(signal.SIGINT)
    assert ui.wait(30) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlived platform ui"


@contextmanager
def plain_mlflow(home: Path) -> Iterator[str]:
    """Run MLflow's own server, as a team would, on the store of a home folder; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
    command += ["--default-artifact-root", str(home / "artifacts")]
    server = subprocess.Popen(
        command,
        env={**_outside(), "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/health", server)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def keep_picture(page: Any, name: str) -> None:
    """Write a screenshot where the variable ADAPTERLAB_SCREENSHOTS says, for a person to look at."""
    folder = os.environ.get("ADAPTERLAB_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"{name}.png")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _outside() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "ADAPTERLAB_"))
    }


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail("MLflow's server did not start")
