"""``platform ui``: what it says before it serves; the serving itself is in the browser test."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from adapterlab.errors import AdapterlabError, ConflictError, NotFoundError
from adapterlab.tracking import server


def test_port_that_is_taken_is_a_clear_error(place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        serving = server.serve(
            place.uri, place.artifacts, host="127.0.0.1", port=port, log=place.folder / "log"
        )
        with pytest.raises(ConflictError, match=f"127.0.0.1:{port}.*in use") as caught, serving:
            pass
    assert "--port" in caught.value.remedy
    assert not (place.folder / "log").exists()


def test_store_that_is_missing_is_a_clear_error(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    serving = server.serve(uri, str(tmp_path), host="127.0.0.1", port=5000, log=tmp_path / "log")
    with pytest.raises(NotFoundError, match="no tracking store") as caught, serving:
        pass
    assert "platform submit" in caught.value.remedy
    assert not (tmp_path / "mlflow.db").exists()


def test_server_that_does_not_start_shows_the_end_of_its_log(place, monkeypatch):
    monkeypatch.setattr(server, "APP", "adapterlab")
    monkeypatch.setenv("MLFLOW_WORKERS", "not a number")
    monkeypatch.setattr(
        server, "_command", lambda *_: [sys.executable, "-c", "print('what went wrong'); exit(3)"]
    )
    serving = server.serve(place.uri, place.artifacts, host="127.0.0.1", port=5999, log=place.folder / "log")
    with pytest.raises(AdapterlabError, match=r"(?s)exit code 3.*what went wrong"), serving:
        pass


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("192.168.0.7", False),
        ("example.org", False),
    ],
)
def test_loopback_is_told_from_the_world(host, expected):
    assert server.is_loopback(host) is expected


def test_address_of_a_server_is_shown_without_credentials():
    assert server.public_address("https://me:secret@ml.example:8443/base/") == "https://ml.example:8443/base"
    assert server.public_address("https://ml.example/base/?token=secret#x") == "https://ml.example/base"


def test_command_line_names_no_store():
    """A process list is public; the store's address may hold a password."""
    command = server._command("/artifacts", "127.0.0.1", 5000)
    assert not any("backend-store" in word for word in command)
    assert "--app-name" in command


@pytest.mark.parametrize(
    "module", ["adapterlab.cli.ui", "adapterlab.tracking.run_names", "adapterlab.tracking.spool"]
)
def test_light_modules_do_not_import_mlflow(module):
    program = f"import sys, {module}; sys.exit('mlflow' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
