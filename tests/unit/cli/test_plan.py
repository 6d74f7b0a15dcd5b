"""``platform plan``: one screen, every step where that is asked for, and all of it for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adapterlab.cli.main import main

TABLE = Path(__file__).parents[3] / "specs" / "scalearn" / "table2_glue.toml"


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def test_a_papers_table_fits_one_screen(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("CI", raising=False)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    assert main(["plan", str(TABLE)]) == 0
    captured = capsys.readouterr()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", captured.out + captured.err).splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for said in (
        "scalearn_uniform_pp",
        "mnli",
        "0/10",
        "124,055,040",
        "sources: 8 to train",
        "baselines: 304 to train",
    ):
        assert said in text, said


def test_steps_are_listed_where_they_are_asked_for(capsys):
    assert main(["plan", str(TABLE), "--steps"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("full_ft · ") for line in out) == 52
    assert main(["plan", str(TABLE)]) == 0
    assert not any(" · seed " in line for line in capsys.readouterr().out.splitlines())


def test_programs_get_the_matrix_beside_what_they_had(capsys):
    assert main(["plan", str(TABLE), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"counts", "steps", "methods", "estimate_s", "pending"} <= set(document)
    rows = {row["name"]: row for row in document["matrix"]}
    assert rows["scalearn"]["targets"]["glue/rte"] == {"runs": 10, "cached": 0, "in_flight": 0}
    assert rows["full_ft"]["kind"] == "baseline"
