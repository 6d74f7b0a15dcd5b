"""Places of optional real data and reference numbers; tests that need them skip where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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
