"""A finished tiny sweep that several tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tiny_world import platform, write_world


@dataclass(frozen=True)
class Finished:
    """A home folder in which the tiny spec has been submitted once."""

    home: Path
    spec: Path
    output: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    """Submit the tiny spec once, for real: Ray, Optuna, MLflow, SQLite."""
    folder = tmp_path_factory.mktemp("tiny")
    spec = write_world(folder)
    done = platform(folder / "home", "submit", str(spec))
    assert done.returncode == 0, done.stderr
    return Finished(folder / "home", spec, done.stdout + done.stderr)
