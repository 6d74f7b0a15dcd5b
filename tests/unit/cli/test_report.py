"""``platform report`` in every format, against a row, and into a folder."""

from __future__ import annotations

import csv
import io
import json

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.cli.main import main
from adapterlab.records import StepKind
from catalogs import key, open_at, put_adapter, put_study, put_transfer

SPEC = {"targets": {"tasks": ["glue/cb"]}, "backbone": {"source": "folder:/nowhere"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose catalog holds two combiners on one target over five seeds."""
    folder = tmp_path_factory.mktemp("home")
    with open_at(f"sqlite:///{folder / 'catalog.db'}", folder) as catalog:
        put_adapter(catalog, "source", task="glue/cb", test={"accuracy": 0.6})
        steps = [
            SweepStep(0, key("source"), StepKind.SOURCE, "source · cb · seed 0", (), "source/glue/cb/seed=0")
        ]
        for kind, base in (("scalearn", 0.7), ("scalearn_pp", 0.6)):
            title = f"cb · {kind}"
            put_study(catalog, title, "source", combiner=kind)
            study = f"study/glue/cb/{kind}"
            steps.append(SweepStep(len(steps), key(title), StepKind.STUDY, title, (), study))
            for seed in range(5):
                put_transfer(
                    catalog, f"{title} {seed}", title, "source", combiner=kind, seed=seed,
                    test={"accuracy": base + seed / 100}, seconds=1.0,
                )  # fmt: skip
                final = f"{title} · final · seed {seed}"
                one = f"transfer/glue/cb/{kind}/seed={seed}"
                steps.append(
                    SweepStep(len(steps), key(f"{title} {seed}"), StepKind.TRANSFER, final, (study,), one)
                )
        catalog.open_sweep(key("sweep"), "demo", json.dumps(SPEC), steps)
        catalog.open_sweep(key("other sweep"), "other", json.dumps(SPEC), steps[:7])
        for name, against in (("told", "scalearn"), ("misled", "scalearm")):
            spec = {**SPEC, "report": {"against": against, "equal_within": 1.0, "digits": 3}}
            catalog.open_sweep(key(name), name, json.dumps(spec), steps)
    return folder


@pytest.fixture(autouse=True)
def _home(home, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(home))


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_tables_are_printed(capsys):
    code, out, _ = run(capsys, "report", "demo", "--against", "scalearn_pp", "--digits", "2")
    assert code == 0
    assert "72.00 ± 1.58" in out
    assert "+10.00" in out
    assert "p = 0.0625, n = 5" in out
    assert "n = 5: 0.062" in out, "what so few seeds can show at best"


@pytest.mark.parametrize(
    ("form", "sign"),
    [
        ("markdown", "| scalearn | **72.0 ± 1.6** |"),
        ("latex", r"\textbf{72.0}$_{1.6}$"),
        ("html", "<!doctype html>"),
    ],
)
def test_formats(capsys, form, sign):
    code, out, _ = run(capsys, "report", "demo", "--format", form)
    assert code == 0
    assert sign in out


def test_csv_and_json_are_for_programs(capsys):
    _, out, _ = run(capsys, "report", "demo", "--format", "csv", "--against", "scalearn_pp")
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(out))}
    assert float(rows["scalearn"]["p"]) == 0.0625
    _, out, _ = run(capsys, "report", "demo", "--json", "--against", "scalearn_pp")
    document = json.loads(out)
    assert document["significance"]["against"] == "scalearn_pp"
    assert {cell["combiner"] for cell in document["cells"]} == {"own adapter", "scalearn", "scalearn_pp"}


def test_a_folder_is_written(capsys, tmp_path):
    code, _, err = run(capsys, "report", "demo", "--to", tmp_path / "to")
    assert code == 0
    names = {path.name for path in (tmp_path / "to").iterdir()}
    assert {"report.md", "report.tex", "report.html", "report.json", "cells.csv", "runs.csv"} <= names
    assert "coefficients-glue-cb-scalearn.png" in names
    assert "report.md" in err


def test_what_does_not_exist_is_said(capsys, tmp_path):
    assert run(capsys, "report", "demo", "--format", "pdf")[0] == 2
    assert run(capsys, "report", "demo", "--against", "nobody")[0] == 4
    assert run(capsys, "report", "nothing")[0] == 4
    (tmp_path / "file").write_text("x")
    assert run(capsys, "report", "demo", "--to", tmp_path / "file")[0] == 5


def test_sweeps_are_reported_side_by_side(capsys):
    code, out, _ = run(capsys, "report", "demo", "other", "--json", "--against", "other: scalearn")
    assert code == 0
    document = json.loads(out)
    assert document["sweep"] == "demo, other"
    rows = {row["combiner"]: row for row in document["significance"]["rows"] if row["target"] == "glue/cb"}
    assert rows["demo: scalearn"]["difference"] == 0
    assert rows["demo: scalearn_pp"]["difference"] == pytest.approx(-0.1)


def test_a_sweep_named_twice_is_refused(capsys):
    code, _, err = run(capsys, "report", "demo", "demo")
    assert code != 0
    assert "none of them twice" in err


def test_one_file_holds_the_report(capsys, tmp_path):
    code, out, err = run(capsys, "report", "demo", "--html", tmp_path / "new" / "demo.html")
    assert code == 0
    assert "demo.html" in err
    text = (tmp_path / "new" / "demo.html").read_text()
    assert "<h1>demo</h1>" in text
    assert 'src="data:image/svg+xml;base64,' in text
    assert "72.0" in out, "the tables are printed as well"


def test_in_a_pipe_a_row_is_one_line_without_drawing(capsys):
    _, out, _ = run(capsys, "report", "demo")
    (line,) = [line for line in out.splitlines() if line.startswith("scalearn ") and "±" in line]
    assert line.split() == ["scalearn", "72.0", "±", "1.6"]
    assert not set(out) & set("─│┃┏\x1b…")


def test_it_does_as_the_spec_says_and_the_command_line_comes_first(capsys):
    _, out, _ = run(capsys, "report", "told")
    assert "told: against scalearn\n" in out
    assert "72.000 ± 1.581" in out
    _, out, _ = run(capsys, "report", "told", "--against", "own adapter", "--digits", "1")
    assert "told: against own adapter\n" in out
    assert "72.0 ± 1.6" in out


def test_a_row_that_the_spec_names_and_that_is_none_is_told_with_its_place(capsys):
    code, _, err = run(capsys, "report", "misled")
    assert code == 4
    assert "report.against in the spec of misled: no row named 'scalearm'" in err
    assert "--against ROW" in err
    assert run(capsys, "report", "misled", "--against", "scalearn")[0] == 0


def test_a_distance_needs_a_row(capsys):
    code, _, err = run(capsys, "report", "demo", "--equal-within", "1")
    assert code == 2
    assert "--against ROW" in err


def test_json_names_the_figures_of_the_folder(capsys, tmp_path):
    _, out, _ = run(capsys, "report", "demo", "--to", tmp_path / "to", "--against", "own adapter", "--json")
    document = json.loads(out)
    named = {name for one in document["figures"] for name in one["files"]}
    assert {"difference-own-adapter.svg", "difference-own-adapter.png"} <= named
    assert named == {one.name for one in (tmp_path / "to").iterdir() if one.suffix in (".svg", ".png")}
    assert "figures" not in json.loads(run(capsys, "report", "demo", "--json")[1])
