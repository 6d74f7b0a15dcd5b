"""``platform init``: starters that validate, and files that are never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.cli import init
from adapterlab.cli.main import main
from adapterlab.spec.load import load_spec


@pytest.mark.parametrize("name", ["mine.toml", "My sweep!.toml", "é.toml", "-.toml"])
def test_the_starter_validates_as_it_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert main(["init", str(path)]) == 0
    assert load_spec(path).spec.pool.tasks


def test_a_file_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    assert main(["init", str(path)]) == 5
    assert path.read_text() == "precious"
    assert "never overwrites" in capsys.readouterr().err


def test_a_dash_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "-"]) == 0
    assert "[backbone]" in capsys.readouterr().out


def test_folders_and_unwritable_places_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 2
    assert main(["init", str(tmp_path / "no" / "where.toml")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_packaged_specs_are_listed_copied_and_suggested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "quickstart.toml"
    packaged.write_text("# quickstart: a first sweep\nname = 'x'\n")
    monkeypatch.setattr(init, "_packaged", lambda: {"quickstart": packaged})
    assert main(["init", "--list"]) == 0
    assert capsys.readouterr().out.split(maxsplit=1) == ["quickstart", "quickstart: a first sweep\n"]
    assert main(["init", str(tmp_path / "copy.toml"), "--from", "quickstart"]) == 0
    assert (tmp_path / "copy.toml").read_text() == packaged.read_text()
    assert main(["init", str(tmp_path / "other.toml"), "--from", "quikstart"]) == 4
    assert "quickstart" in capsys.readouterr().err
    assert not (tmp_path / "other.toml").exists()


def test_every_spec_in_the_checkout_is_offered_and_validates() -> None:
    folder = Path(__file__).parents[3] / "specs"
    named = {path.relative_to(folder).as_posix().removesuffix(".toml") for path in folder.rglob("*.toml")}
    assert set(init._packaged()) == named
    assert "scalearn/table2_glue" in named
    for path in init._packaged().values():
        load_spec(path)
