"""The training floor and its benchmark run where only torch, transformers, safetensors, numpy and pydantic are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = [
    "alembic",
    "datasets",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "platformdirs",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "sqlalchemy",
]  # transformers itself brings fsspec, typer and rich
PROGRAM = f"""
import runpy, sys

sys.modules.update(dict.fromkeys({ABSENT!r}))  # as if they were not installed
sys.argv = sys.argv[1:]
sys.path.insert(0, "benchmarks")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"benchmarks/{script}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_step_of_every_combiner_is_measured_beside_the_reference(tmp_path):
    sizes = ("--shape", "tiny", "--sources", "3", "--batch", "4", "--tokens", "16", "--rounds", "1")
    printed = run("step.py", *sizes, "--no-memory", "--json", str(tmp_path / "x.json"))
    seconds = json.loads((tmp_path / "x.json").read_text())["seconds"]
    assert {"bare", "adapter", "scalearn", "adapterfusion", "reference scalearn"} <= set(seconds)
    assert all(value > 0 for values in seconds.values() for value in values)
    assert "x bare" in printed


@pytest.mark.slow
def test_lanes_are_measured_together_and_apart(tmp_path):
    sizes = ("--shape", "tiny", "--sources", "3", "--batch", "4", "--tokens", "16", "--rounds", "1")
    run("lanes.py", *sizes, "--lanes", "1", "2", "--json", str(tmp_path / "x.json"))
    found = json.loads((tmp_path / "x.json").read_text())
    assert set(found["results"]) == {"1", "2"}
    assert found["found"] in {1, 2}
