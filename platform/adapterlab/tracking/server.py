"""The MLflow UI on this machine, as a child process that ends with us."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from adapterlab.errors import AdapterlabError, ConflictError, NotFoundError, UnavailableError
from adapterlab.owners import current_owner
from adapterlab.tracking import store
from adapterlab.tracking.access import TOKEN_VARIABLE, new_token
from adapterlab.tracking.owner import OWNER_VARIABLE
from adapterlab.tracking.views import ROWS_VIEW, VIEW_PREFIX, view_query

APP = "adapterlab"
"""Our entry in MLflow's ``mlflow.app`` plug-in group; see ``app``."""
MODEL_TRAINING = "workflowType=machine_learning"
"""Query that opens any MLflow page in the model-training half, whatever the browser remembers."""

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0
_LOG_LINES = 12
_MOST_LINKS = 20


@dataclass(frozen=True)
class Server:
    """A running MLflow UI."""

    url: str
    """For example ``"http://127.0.0.1:5000"``."""
    process: subprocess.Popen[bytes]
    log: Path
    token: str | None
    """What it asks for; ``None``: nothing, since this package is not installed as an MLflow app."""

    @property
    def link(self) -> str:
        """Address that opens it in a browser, in the model-training half."""
        return f"{self._page}#/experiments?{MODEL_TRAINING}"

    @property
    def _page(self) -> str:
        return f"{self.url}/" + (f"?token={self.token}" if self.token else "")

    def experiments(self) -> dict[str, str]:
        """Return the link of every experiment that has one to show, by name, newest first.

        It opens the comparison of the experiment's methods where a sweep has ended there, else its runs.
        """
        request = urllib.request.Request(  # noqa: S310 - our own http address
            f"{self.url}/api/2.0/mlflow/experiments/search",
            data=json.dumps({"max_results": _MOST_LINKS, "order_by": ["last_update_time DESC"]}).encode(),
            headers={
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            },
        )
        with _direct().open(request, timeout=10) as response:
            found = json.load(response).get("experiments", [])
        return {
            item["name"]: f"{self._page}#/experiments/{item['experiment_id']}/runs?{_query_of(item)}"
            for item in found
            if item["name"] != "Default"
        }


@contextmanager
def serve(uri: str, artifacts: str, *, host: str, port: int, log: Path) -> Iterator[Server]:
    """Run the MLflow UI for a store until the block ends, for those who have its token; see ``access``.

    Args:
        uri: Tracking URI of a database; it must exist.
        artifacts: Folder or URL of artifacts.
        host: Address to listen on; only those who ask for it by a loopback name are answered when it
            is loopback.
        port: TCP port, 1 to 65535.
        log: File for the server's own output.

    Raises:
        NotFoundError: The store does not exist yet.
        ConflictError: The port is taken.
        UnavailableError: The store cannot be reached.
        AdapterlabError: The server did not start; the message holds the end of its log.
    """
    path = store.sqlite_path(uri)
    if path is not None and not path.is_file():
        raise NotFoundError(
            f"no tracking store at {path}",
            remedy="Run `platform submit` first, or set ADAPTERLAB_HOME to the home folder of your sweeps.",
        )
    store.check_answers(uri)
    check_port(host, port)
    log.parent.mkdir(parents=True, exist_ok=True)
    token = new_token() if _is_mlflow_app() else None
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(artifacts, host, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **_environment(uri),
                **({TOKEN_VARIABLE: token, OWNER_VARIABLE: current_owner()} if token else {}),
            },
            start_new_session=True,  # signals reach us alone; we then stop the server and its children
        )
    try:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        _wait_until_up(url, process, log)
        yield Server(url=url, process=process, log=log, token=token)
    finally:
        _stop(process)


def check_port(host: str, port: int) -> None:
    """Make sure we can listen on a port.

    Raises:
        ConflictError: Somebody else does, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConflictError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                remedy=f"Choose another port, for example: platform ui --port {_free_port(family)}",
            ) from error


def public_address(uri: str) -> str:
    """Return a tracking server's address as one opens it, without anybody's credentials."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")).rstrip("/")


def comparison_address(uri: str, experiment_id: str) -> str:
    """Return what opens an experiment's comparison of methods on a tracking server."""
    return f"{public_address(uri)}/#/experiments/{experiment_id}/runs?{view_query(ROWS_VIEW)}"


def comparisons(uri: str) -> dict[str, str]:
    """Return what opens the comparison of methods on a tracking server, by name of the experiment, newest first.

    Raises:
        AwayError: The server does not answer.
        UnavailableError: It refuses.
    """
    store.configure(uri)
    store.check_answers(uri)
    with store.readable_errors(uri):
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.search_experiments(max_results=_MOST_LINKS, order_by=["last_update_time DESC"])
    return {
        one.name: comparison_address(uri, one.experiment_id)
        for one in found
        if VIEW_PREFIX + ROWS_VIEW in one.tags
    }


def _query_of(experiment: Mapping[str, Any]) -> str:
    """Return the query that opens an experiment's best view, as MLflow's REST API describes the experiment."""
    tags = {tag["key"] for tag in experiment.get("tags", ())}
    return view_query(ROWS_VIEW) if VIEW_PREFIX + ROWS_VIEW in tags else MODEL_TRAINING


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _command(artifacts: str, host: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    # The store's address may hold a password: it goes by environment, since a command line can be read by all.
    command += ["--workers", "1", "--no-serve-artifacts", "--default-artifact-root", artifacts]
    if _is_mlflow_app():
        command += ["--app-name", APP]
    if is_loopback(host):
        # MLflow's default also answers to private networks' names; against DNS rebinding, fewer is better.
        command += ["--allowed-hosts", f"localhost:{port},127.0.0.1:{port},[::1]:{port},{host}:{port}"]
    return command


def _is_mlflow_app() -> bool:
    return any(entry.name == APP for entry in importlib.metadata.entry_points(group="mlflow.app"))


def _environment(uri: str) -> dict[str, str]:
    return {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # spares a second process; GenAI judges only
    }


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with _direct().open(f"{url}/health", timeout=2) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    said = "\n    ".join(lines) or "(nothing)"
    if process.poll() is None:
        raise UnavailableError(
            f"the MLflow UI at {url} did not answer within {_START_TIMEOUT_S:.0f} s; its log ends:\n    {said}",
            remedy=f"See {log}.",
        )
    raise AdapterlabError(
        f"the MLflow UI stopped with exit code {process.returncode}; its log ends:\n    {said}",
        remedy=f"See {log}.",
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _free_port(family: socket.AddressFamily) -> int:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _direct() -> urllib.request.OpenerDirector:
    # A proxy set for the outside world must not be asked for our own machine.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
