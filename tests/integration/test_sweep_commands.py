"""``platform status``, ``cancel``, ``archive``, ``tag`` and ``note`` on sweeps that are there, as people run them."""

from __future__ import annotations

import json
import re
import time

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.cli.main import main
from adapterlab.records import State, StepKind
from catalogs import key, open_at, sql

STEPS = (SweepStep(0, key("a"), StepKind.SOURCE, "rte", id="source/glue/rte/seed=0", train_rows=100),)


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """The open, empty catalog of a home folder."""
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    (tmp_path / "home").mkdir()
    with open_at(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}", tmp_path / "home") as opened:
        yield opened
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def run(capsys):
    def run_words(*words):
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_words


def ended(catalog, name, sweep, state, reason=None):
    catalog.open_sweep(key(sweep), name, "{}", STEPS)
    if state is not State.RUNNING:
        catalog.set_sweep_state(key(sweep), state, reason)


def test_status_tells_apart_how_sweeps_ended_and_which_is_which(catalog, run):
    ended(catalog, "glue", "one", State.CANCELLED, "glue was cancelled")
    ended(catalog, "glue", "two", State.REFUSED, "train.csv, line 3: no label")
    sql(catalog, "UPDATE sweeps SET started_at = 1796000000, ended_at = 1796000090")
    code, out, err = run("status")
    assert (code, err) == (0, "")
    _, *rows = [line.split("  ") for line in out.splitlines()]
    found = {tuple(filter(None, row))[1].strip(): [cell.strip() for cell in row if cell] for row in rows}
    assert found[key("one")[:12]][2:5] == ["cancelled", "2026-11-30 01:53", "1:30"]
    assert found[key("two")[:12]][2] == "refused"
    for sweep in json.loads(run("status", "--json")[1]):
        assert (sweep["started_at"], sweep["elapsed_s"]) == ("2026-11-30T00:53:20+00:00", 90.0)


def test_status_of_a_name_that_several_have_shows_the_latest_and_names_the_others(catalog, run):
    ended(catalog, "glue", "one", State.COMPLETE)
    ended(catalog, "glue", "two", State.REFUSED, "train.csv, line 3: no label")
    code, out, err = run("status", "glue")
    assert code == 0
    assert out.splitlines()[0] == f"glue {key('two')[:12]}: refused"
    assert "reason: train.csv, line 3: no label" in out
    assert f"glue is also the name of {key('one')[:12]} (" in err
    assert run("status", key("one")[:6])[1].startswith(f"glue {key('one')[:12]}: complete")
    assert run("status", key("one")[:6])[2] == ""


def test_what_changes_a_sweep_asks_which_one_is_meant(catalog, run):
    ended(catalog, "glue", "one", State.COMPLETE)
    ended(catalog, "glue", "two", State.COMPLETE)
    for words in (("archive", "glue"), ("tag", "glue", "paper"), ("note", "glue", "x"), ("cancel", "glue")):
        code, out, err = run(*words)
        assert (code, out) == (4, "")
        assert "2 sweeps are named 'glue':" in err
        assert f"glue {key('one')[:12]} (" in err
        assert "first digits" in err


def test_archive_hides_a_sweep_and_undo_shows_it(catalog, run):
    ended(catalog, "glue", "one", State.COMPLETE)
    assert run("archive", "glue")[1].startswith("glue is put away; nothing is deleted.")
    assert run("archive", "glue")[1] == "glue was put away already.\n"
    assert "No sweep is listed" in run("status")[1]
    assert "complete, put away" in run("status", "--all")[1]
    assert run("status", "glue")[0] == 0
    assert run("archive", "glue", "--undo")[1] == "glue is listed again.\n"
    assert "glue" in run("status")[1]
    assert json.loads(run("archive", "glue", "--undo", "--json")[1])["changed"] is False


def test_a_running_sweep_is_not_put_away(catalog, run):
    ended(catalog, "glue", "one", State.RUNNING)
    code, _, err = run("archive", "glue")
    assert code == 5
    assert re.fullmatch(r"glue [0-9a-f]{12} is running", err.splitlines()[0])


def test_tags_and_notes_stand_beside_a_sweep(catalog, run):
    ended(catalog, "glue", "one", State.COMPLETE)
    assert run("tag", "glue", "paper", "final")[0] == 0
    assert run("note", "glue", "the one of table 2")[0] == 0
    out = run("status", "glue")[1]
    assert "note: the one of table 2" in out
    assert "tags: final, paper" in out
    assert "final, paper" in run("status")[1]
    assert run("tag", "glue", "--remove", "final", "--json")[1].count("paper") == 1
    assert run("tag", "glue", "no tag")[0] == 2
    assert run("note", "glue", "x" * 5000)[0] == 2
