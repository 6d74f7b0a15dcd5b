"""What all tests share: optional real data and reference numbers, signals that arrive, patience, homes of their own.

Tests that need data or numbers skip where they are absent.
"""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background deaf to Ctrl-C, and that is inherited: programs under test
    # would not hear it either.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # and what `nohup` starts, to its terminal's end
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

if not Path("/proc/driver/nvidia").exists():
    # Triton reads it when it is first imported, whoever does that: without a card its kernels are interpreted.
    os.environ.setdefault("TRITON_INTERPRET", "1")

# How fast a machine draws its examples is no property of the code: a busy one must not fail a test.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")


def _optional_folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / default)
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set {variable} to run this test")
    return folder


@pytest.fixture(scope="session")
def reference_fixtures() -> Path:
    """Folder with the official code's numbers (``official_outputs.npz`` and others)."""
    return _optional_folder("ADAPTERLAB_TEST_FIXTURES", "fixtures")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real tasks, ``<benchmark>/<task>/{train,validation}.jsonl``."""
    return _optional_folder("ADAPTERLAB_TEST_DATA", "data")


@pytest.fixture(scope="session")
def misread_cases() -> Path:
    """Folder of small inputs that were read wrong once: ``backbones``, ``data``, ``peft``, ``adapterhub``."""
    return _optional_folder("ADAPTERLAB_TEST_CASES", "cases")


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The home folder of whatever names none: not the user's, whose catalog would have a say in tests."""
    with pytest.MonkeyPatch.context() as patch:
        home = str(tmp_path_factory.getbasetemp() / "nobodys_home")
        patch.setenv("ADAPTERLAB_HOME", home)
        yield home


@pytest.fixture(autouse=True)
def _home_of_one_test(_nobodys_home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home for each test that names none, and whose fixtures named none."""
    if os.environ.get("ADAPTERLAB_HOME") == _nobodys_home:
        monkeypatch.setenv("ADAPTERLAB_HOME", f"{_nobodys_home}-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder in which no other process leaves anything; its path is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)
