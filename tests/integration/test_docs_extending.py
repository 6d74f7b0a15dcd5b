"""The pages under ``docs/extending`` work as they stand: their files, their contract suites, their sweeps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tiny_world import write_backbone

EXTENDING = Path(__file__).parents[2] / "docs" / "extending"
PAGES = ("combiners", "adapter_methods", "joint_methods", "heads", "backbone_families")
_FILE = re.compile(r"File `([^`]+)`:\n\n```\w+\n(.*?)```\n", re.DOTALL)


@pytest.fixture
def page(request, tmp_path) -> Path:
    """Write a page's files into a folder, and install its package there as ``pip install -e .`` would."""
    for name, text in _FILE.findall((EXTENDING / f"{request.param}.md").read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
        for group, found in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the page's folder, its package on the path and its state beside it."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "ADAPTERLAB_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_the_pages_plug_in_passes_its_contract_suite(page):
    (test,) = page.glob("test_*.py")
    done = run(page, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_the_pages_sweep_runs(page):
    (spec,) = page.glob("*.toml") if len(list(page.glob("*.toml"))) == 1 else [
        one for one in page.glob("*.toml") if one.name != "pyproject.toml"
    ]  # fmt: skip
    if (page / "make_model.py").exists():
        assert run(page, "make_model.py", "model").returncode == 0
    else:
        write_backbone(page / "backbone")
    command = (
        "-m",
        "adapterlab.cli",
        "submit",
        spec.name,
        "--set",
        "cluster.launcher=in_process",
        "--set",
        "data.max_length=64",
    )
    done = run(page, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    report = run(page, "-m", "adapterlab.cli", "report", spec.stem)
    assert report.returncode == 0, report.stderr
