"""``platform catalog tag``, ``note``, ``rename``, ``remove``, ``copy``, ``publish`` and ``export`` as people run them."""

from __future__ import annotations

import json

import pytest
import yaml

import tiny_trained
from adapterlab.cli.main import main
from adapterlab.train import weights


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A catalog of adapters, a study and transfers, with its backbone."""
    return tiny_trained.write_trained(tmp_path_factory.mktemp("made"))


@pytest.fixture
def run(made, tmp_path, temporary, monkeypatch, capsys):
    """Run ``platform catalog`` with these words and ``--json``; return exit code and document."""
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS"):
        monkeypatch.delenv(name, raising=False)

    def words(*given, home=made.home):
        monkeypatch.setenv("ADAPTERLAB_HOME", str(home))
        capsys.readouterr()
        code = main(["catalog", *given, "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out or captured.err)

    return words


def test_names_notes_and_tags_are_kept_and_taken_away(made, run):
    key = made.sources[0]
    assert run("rename", key[:12], "my best")[1]["name"] == "my best"
    assert run("note", key, "trained on a Sunday")[1]["note"] == "trained on a Sunday"
    assert run("tag", key, "good", "2026")[1]["tags"] == ["2026", "good"]
    code, noted = run("tag", key, "--remove", "2026")
    assert (code, noted["tags"], noted["name"]) == (0, ["good"], "my best")
    assert run("show", key)[1]["annotation"] == {
        "name": "my best",
        "note": "trained on a Sunday",
        "tags": ["good"],
    }
    assert main(["catalog", "show", key]) == 0
    run("rename", key, "")
    run("note", key, "")
    assert run("tag", key, "--remove", "good")[1]["tags"] == []
    assert run("show", key)[1]["annotation"] is None
    for words in (("tag", key, "no tag"), ("rename", key, "two\nlines"), ("rename", key, "x" * 101)):
        assert run(*words)[0] == 2
    assert run("tag", "abcdef", "good")[0] == 4


def test_a_library_gets_records_with_what_they_were_made_from(made, run, tmp_path):
    key = made.transfers["scalearn"]
    code, found = run("copy", key, "--to", str(tmp_path / "team"))
    assert (code, len(found["records"])) == (0, 5)  # three sources, the study and the transfer
    assert all(one["new"] for one in found["records"])
    _, again = run("copy", key[:10], made.sources[0], "--to", str(tmp_path / "team"))
    assert not any(one["new"] for one in again["records"])
    with made.open() as here, tiny_trained.open_at(tmp_path / "team") as there:
        one, other = here.get_transfer(key), there.get_transfer(key)
        assert (one.test, one.blob, one.created_at) == (other.test, other.blob, other.created_at)
        assert (
            weights.from_bytes(there.read_weights(other)).keys()
            == weights.from_bytes(here.read_weights(one)).keys()
        )
        assert [entry.key for entry in there.get_study(other.study_key).pool] == list(made.sources)
        assert there.backbones()[0].source == here.backbones()[0].source
        assert there.verify(deep=True).healthy
    assert run("copy", key, "--to", str(made.home))[0] == 2
    assert run("copy", key, "--to", "sqlite:////nowhere.db")[0] == 2


def test_what_something_was_made_from_stays(made, run, tmp_path):
    key = made.transfers["scalearn"]
    run("copy", key, "--to", str(tmp_path / "team"))
    team = {"home": tmp_path / "team"}
    code, error = run("remove", made.sources[0], **team)
    assert code == 5
    assert error["referred_to_by"] == [f"study {made.study[:12]}"]
    assert run("remove", made.study, **team)[1]["referred_to_by"] == [f"transfer {key[:12]}"]
    for one in (key, made.study, made.sources[0]):
        assert run("remove", one[:12], **team)[1]["removed"] == one
    assert run("show", key, **team)[0] == 4
    with tiny_trained.open_at(tmp_path / "team") as catalog:
        assert {one.key for one in catalog.adapters()} == set(made.sources[1:])
        assert catalog.lost_rows() == {}
    assert run("copy", key, "--to", str(tmp_path / "team"))[1]["records"][-1]["new"]


def test_a_folder_for_the_hub_says_what_it_is(made, run, tmp_path):
    key = made.transfers["scalearn"]
    words = ("publish", key, "--to", str(tmp_path / "out"), "--license", "apache-2.0")
    code, error = run(*words)
    assert code == 2
    assert "--base-model" in error["remedy"]
    assert run(*words, "--base-model", "google-bert/bert-base-uncased")[0] == 0
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["base_model"]) == ("apache-2.0", "google-bert/bert-base-uncased")
    assert "adapterhub:glue/rte" in front["tags"]
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "glue/rte"
    assert result["metrics"] == [{"type": "accuracy", "name": "accuracy", "value": 0.75}]
    assert "exported with adapterlab" in card
    assert run("export", key, "--to", str(tmp_path / "plain"))[0] == 0
    home = {"home": tmp_path / "new"}
    _, found = run("import", str(tmp_path / "out"), "--backbone", str(made.backbone), **home)
    shown = run("show", found["adapters"][0]["key"], **home)[1]
    assert shown["origin"]["metrics"] == {"accuracy": 0.75}
    assert (shown["task"], shown["origin"]["licence"]) == ("glue/rte", "apache-2.0")
