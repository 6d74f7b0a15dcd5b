"""``platform plan``: one screen, every step where that is asked for, and all of it for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adapterlab.cli.main import main
from adapterlab.cli.plan import duration

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
    assert len(lines) < 56  # 18 methods, in two blocks at this width
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


def test_hours_are_stated_before_any_row_is_at_hand(capsys):
    """The rows that train are published: 52 % of GLUE's are MNLI's."""
    assert main(["plan", str(TABLE), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["pending"]
    assert document["estimate_basis"] == "rough"
    mnli = ["--set", 'targets.tasks=["glue/mnli"]', "--set", 'pool.tasks=["glue/mnli", "glue/rte"]']
    assert main(["plan", str(TABLE), *mnli, "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["estimate_s"] < document["estimate_s"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "unknown"),
        (89, "about 89 s"),
        (5399, "about 90 min"),
        (7200, "about 2.0 h"),
        (3600 * 40928.3, "about 40,900 h"),
    ],
)
def test_a_time_has_no_more_figures_than_an_estimate_knows(seconds, said):
    assert duration(seconds) == said


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
