"""Every file and command of ``docs/guide/tasks.md`` works as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.cli.main import main
from plugin_packages import path_with
from tiny_world import environment

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "tasks.md"
_FILE = re.compile(r"File `([^`]+)`:\n\n```\w+\n(.*?)```\n", re.DOTALL)
_CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for block in _CONSOLE.findall(PAGE.read_text()) for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [shlex.split(line[2:]) for line in lines]


COMMANDS = _commands()
QUICK = [
    words
    for words in COMMANDS
    if words[0] == "platform" and words[1] not in ("submit", "report") and words[-1] != "kitchen"
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write every file of the page."""
    place = tmp_path_factory.mktemp("page")
    for name, text in _FILE.findall(PAGE.read_text()):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


@pytest.fixture(scope="module")
def installed(folder) -> Path:
    """Put the plug-in where ``pip install`` would, without an index: its module and its entry point."""
    site = folder / "site"
    info = site / "adapterlab_kitchen-0.1.0.dist-info"
    info.mkdir(parents=True)
    project = (folder / "kitchen" / "pyproject.toml").read_text()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: adapterlab-kitchen\nVersion: 0.1.0\n")
    point = re.search(r'^kitchen = "(.+)"$', project, re.MULTILINE)
    assert point is not None
    (info / "entry_points.txt").write_text(f"[adapterlab.task_suites]\nkitchen = {point[1]}\n")
    (site / "adapterlab_kitchen.py").write_text((folder / "kitchen" / "adapterlab_kitchen.py").read_text())
    return site


def _run(folder: Path, site: Path, *words: str, timeout_s: int = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env={**environment(folder / "home"), "PYTHONPATH": path_with(site)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_a_command_of_the_page_works(words, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(folder / "home"))
    assert main(words[1:]) == 0
    assert capsys.readouterr().out.strip()


def test_the_plug_in_of_the_page_is_found(folder, installed):
    words = next(words for words in COMMANDS if words[-1] == "kitchen" and words[0] == "platform")
    done = _run(folder, installed, sys.executable, "-m", "adapterlab.cli", *words[1:])
    assert done.returncode == 0, done.stderr
    assert "kitchen/dishes" in done.stdout


def test_the_plug_in_of_the_page_passes_its_own_tests(folder, installed):
    done = _run(folder, installed, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "kitchen")
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_sweep_of_the_page_runs(folder, installed):
    slow = [words for words in COMMANDS if words[0] == "platform" and words[1] in ("submit", "report")]
    assert [words[1] for words in slow] == ["submit", "report"]
    for words in slow:
        done = _run(folder, installed, sys.executable, "-m", "adapterlab.cli", *words[1:], timeout_s=500)
        assert done.returncode == 0, done.stderr
    assert "reviews" in done.stdout
