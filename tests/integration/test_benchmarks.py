"""The benchmarks of scale reach into the program to measure it; small, each still does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCALE = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("search", "--trials", "60"), "growth"),
        pytest.param(("study", "--trials", "60"), "growth", marks=pytest.mark.nightly),
        pytest.param(("sweep", "--targets", "15"), "growth", marks=pytest.mark.nightly),
        pytest.param(
            ("workers", "--workers", "1", "2", "--trials", "8"), "workers", marks=pytest.mark.nightly
        ),
    ],
)
def test_what_is_measured_is_there_to_be_measured(options, told, tmp_path):
    ended = subprocess.run(
        [sys.executable, str(SCALE), *options, "--json", str(tmp_path / "found.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found[told]
    for figures in found[told].values():
        assert any(value for value in figures.values() if value is not None)
