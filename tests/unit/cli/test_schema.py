"""``platform schema``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.cli.main import main
from adapterlab.spec.schema import json_schema


def test_it_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_it_writes_a_file_and_says_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "schema.json"
    assert main(["schema", "--out", str(path)]) == 0
    assert json.loads(path.read_text()) == json_schema()
    out, err = capsys.readouterr()
    assert out == ""
    assert "#:schema" in err


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--out", str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err
