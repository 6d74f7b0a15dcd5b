"""Where state lives, and who decides."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapterlab import home
from adapterlab.errors import UsageError

VARIABLES = {
    "catalog": "ADAPTERLAB_CATALOG",
    "blobs": "ADAPTERLAB_BLOBS",
    "tracking": "MLFLOW_TRACKING_URI",
    "studies": "ADAPTERLAB_STUDIES",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_by_default_everything_is_in_the_home_folder(bare_environment: Path) -> None:
    stores = home.stores()
    assert stores.home == str(bare_environment)
    for place in (stores.catalog, stores.blobs, stores.tracking, stores.artifacts, stores.studies):
        assert str(bare_environment) in place
    assert len(set(stores.to_json().values())) == 6, "no two stores share a place"
    assert stores.locks == bare_environment / "locks"
    json.dumps(stores.to_json())


@pytest.mark.parametrize("name", VARIABLES)
def test_the_environment_beats_the_spec_and_the_spec_beats_the_home(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(home.stores(**{name: "from-spec"}), name) == "from-spec"
    monkeypatch.setenv(VARIABLES[name], "from-environment")
    assert getattr(home.stores(**{name: "from-spec"}), name) == "from-environment"


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERLAB_CATALOG", "")
    assert home.stores(catalog="x").catalog == "x"


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTERLAB_HOME", "here")
    assert home.home_folder() == tmp_path / "here"


def test_a_tilde_is_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ADAPTERLAB_HOME", "~/lab")
    assert home.home_folder() == tmp_path / "lab"


def test_without_the_variable_it_is_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ADAPTERLAB_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert home.home_folder() == tmp_path / "data" / "adapterlab"


def test_asking_where_state_lives_creates_nothing(bare_environment: Path) -> None:
    home.stores()
    home.home_folder()
    assert not bare_environment.exists()


@pytest.mark.parametrize("name", ["plain", "a b", "what?", "100%20", "#1", "{x}", "é", "%3F?%"])
def test_a_sqlite_url_names_its_file_whatever_letters_it_has(tmp_path: Path, name: str) -> None:
    from sqlalchemy import make_url

    file = tmp_path / name / "catalog.db"
    url = home.sqlite_url(file)
    assert home.sqlite_file(url) == file
    assert make_url(url).database == str(file)
    assert home.sqlite_file("postgresql+psycopg://host/db") is None
    assert home.sqlite_file("sqlite:///:memory:") is None


@pytest.mark.parametrize("url", ["s3://bucket/lab", "file:///var/lab", "postgresql+psycopg://u:secret@h/d"])
def test_a_home_that_is_a_url_is_refused_and_not_made_a_folder(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", url)
    with pytest.raises(UsageError, match="a folder of this machine") as error:
        home.stores()
    assert "secret" not in str(error.value)
    assert "ADAPTERLAB_BLOBS" in str(error.value)


def test_a_home_whose_path_sqlite_does_not_take_is_refused_and_the_longest_it_takes_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path
    while len(str(folder)) < 430:
        folder /= "f" * 40
    longest = folder / ("l" * (503 - len("/studies.db") - len(str(folder)) - 1))
    longest.mkdir(parents=True)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(longest))
    with closing(sqlite3.connect(str(home.sqlite_file(home.stores().studies)))) as studies:
        studies.execute("CREATE TABLE t (x)")
    monkeypatch.setenv("ADAPTERLAB_HOME", f"{longest}l")
    with pytest.raises(UsageError, match="a path of 504 bytes, SQLite takes 503"):
        home.stores()
