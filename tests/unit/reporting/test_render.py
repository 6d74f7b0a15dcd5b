"""Every format shows the same numbers, what is best, and what is missing; text never becomes markup."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace

import pytest

from adapterlab.reporting import render
from adapterlab.reporting.figures import report_figures
from adapterlab.reporting.folder import document, write_report
from adapterlab.reporting.grid import Column, Entry, Grid
from adapterlab.reporting.page import page
from adapterlab.reporting.significance import compare
from adapterlab.reporting.summary import OWN_ADAPTER
from adapterlab.reporting.tables import costs, grids, scores
from reports import SUMMARY, layer

ODD = Grid("a_b & <c>", (Column("100 %", "x|y", is_number=False),), ((Entry("$5_{}~^\\#", "1", "*n*"),),))


def rows_of(grid):
    return {row[0].text: row[1:] for row in grid.rows}


def test_scores_mark_the_best_whole_cells_and_name_what_is_missing():
    rows = rows_of(scores(SUMMARY))
    assert (rows["scalearn"][0].text, rows["scalearn"][0].spread) == ("80.0", "10.0")
    assert rows["scalearn"][0].mark == "best"
    assert rows[OWN_ADAPTER][0].mark == "second"
    assert rows["scalearn_pp"][0].mark is None, "99.0, but of one seed of three"
    assert rows["scalearn_pp"][0].note == "1/3 seeds: 1 failed, 1 running"
    assert rows["scalearn_pp"][1].text == "–"
    assert rows["scalearn_pp"][2].note == "a target has no value"
    assert rows["scalearn"][2].text == "65.0"
    assert any("loss is nan" in note for note in scores(SUMMARY).notes)


def test_costs_count_one_target_and_all_and_the_share_of_the_backbone():
    grid = costs(SUMMARY)
    rows = rows_of(grid)
    assert [entry.text for entry in rows["scalearn"][:4]] == ["10 to 12,345", "1.23", "12,355", "1.24"]
    assert rows["scalearn_pp"][2].text == "–", "one target has not been trained: no sum of the others"
    assert any("1,000,000" in note for note in grid.notes)


def test_markdown():
    lines = render.markdown([scores(SUMMARY)]).splitlines()
    assert lines[2] == "| method | rte (accuracy) | cb (accuracy) | average |"
    assert lines[5] == "| scalearn | **80.0 ± 10.0** | **50.0 ± 10.0** | **65.0 ± 10.0** |"
    assert "| 99.0 (1/3 seeds: 1 failed, 1 running) |" in lines[6]
    odd = render.markdown([ODD])
    assert "x\\|y" in odd
    assert "\\<c>" in odd


def test_latex_sets_deviations_as_subscripts_and_escapes():
    text = render.latex([scores(SUMMARY)])
    assert r"scalearn & \textbf{80.0}$_{10.0}$ &" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    odd = render.latex([ODD])
    assert r"a\_b \& <c>" in odd
    assert r"\$5\_\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}\#" in odd
    assert r"100 \%" in odd


def test_csv_has_a_line_a_cell_and_a_line_a_run():
    significance = compare(SUMMARY, OWN_ADAPTER)
    cells = list(csv.DictReader(io.StringIO(render.cells_csv(SUMMARY, significance))))
    assert len(cells) == len(SUMMARY.cells)
    one = next(row for row in cells if (row["method"], row["target"]) == ("scalearn", "glue/rte"))
    assert float(one["mean"]) == pytest.approx(0.8)
    assert (one["against"], one["pairs"], one["p"]) == (OWN_ADAPTER, "1", "")
    runs = list(csv.DictReader(io.StringIO(render.runs_csv(SUMMARY))))
    assert {(row["seed"], row["state"]) for row in runs if row["method"] == "scalearn_pp"} == {
        ("0", "complete"), ("1", "failed"), ("2", "running"), ("0", "pending")
    }  # fmt: skip


def test_a_comparison_is_shown_with_its_p_and_its_number_of_seeds():
    significance = compare(SUMMARY, "scalearn")
    grid = next(one for one in grids(SUMMARY, significance) if "against" in one.title)
    row = rows_of(grid)[OWN_ADAPTER]
    assert (row[0].text, row[0].note) == ("-10.0", "n = 1, not tested")
    assert "scalearn" not in rows_of(grid)


def test_a_folder_holds_every_format_numbers_and_pictures(tmp_path):
    layers = tuple(
        layer(source, place, 0.3 + place / 10 + seed / 50 + number / 30, number=number, seed=seed)
        for seed in (0, 1)
        for number in (0, 1)
        for place, source in enumerate(("glue/mnli", "glue/rte"))
    )
    summary = replace(SUMMARY, layers=layers)
    files = write_report(tmp_path / "new", summary, grids(summary))
    assert set(files) == {path.name for path in (tmp_path / "new").iterdir()}
    picture = "coefficients-glue-rte-scalearn_uniform"
    assert (tmp_path / "new" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "new" / "report.html").read_text()
    (shown,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', written)
    assert base64.b64decode(shown) == (tmp_path / "new" / f"{picture}.svg").read_bytes()
    assert len((tmp_path / "new" / "coefficients.csv").read_text().splitlines()) == 1 + len(layers)
    told = json.loads((tmp_path / "new" / "report.json").read_text())
    assert told == json.loads(json.dumps(document(summary, figures=report_figures(summary))))
    assert {name for one in told["figures"] for name in one["files"]} == {f"{picture}.svg", f"{picture}.png"}


TIMED = replace(
    SUMMARY,
    cells=tuple(
        replace(one, search_seconds=170.0, search_clock_seconds=632.0, seconds_a_run=2.0)
        if one.combiner == "scalearn"
        else one
        for one in SUMMARY.cells
    ),
    step_seconds={"study": 340.0, "run": 8.0},
    study_keys=frozenset({"study"}),
    search_spans=((0.0, 700.0),),
)


def test_device_time_and_clock_stand_under_their_names_the_same_in_every_format():
    grid = costs(TIMED)
    names = {(column.name, column.detail): place for place, column in enumerate(grid.columns)}
    row = next(row for row in grid.rows if row[0].text == "scalearn")
    assert row[names["search", "device, s"]].text == "170"
    assert row[names["search", "clock, s"]].text == "632"
    (total,) = [note for note in grid.notes if note.startswith("All steps")]
    assert "348 s of device time, of these 340 s for searches, which took 700 s by the clock" in total
    for text in (render.markdown([grid]), render.latex([grid]), page(TIMED, [grid])):
        assert all(said in text for said in ("170", "632", "device, s", "clock, s", total)), text
    cells = list(csv.DictReader(io.StringIO(render.cells_csv(TIMED))))
    of_csv = {
        (one["search_seconds"], one["search_clock_seconds"]) for one in cells if one["method"] == "scalearn"
    }
    assert of_csv == {("170.0", "632.0")}
    told = document(TIMED)
    assert {one["search_clock_seconds"] for one in told["cells"] if one["combiner"] == "scalearn"} == {632.0}
    assert (told["device_seconds"], told["search_seconds"], told["search_clock_seconds"]) == (
        348.0,
        340.0,
        700.0,
    )


def test_a_majority_row_is_shown_and_never_ranked():
    rows = rows_of(scores(SUMMARY, majority={"glue/rte": 0.999}))
    assert (rows["majority class"][0].text, rows["majority class"][0].mark) == ("99.9", None)
    assert [entry.text for entry in rows["majority class"][1:]] == ["–", "–"]
    assert rows["scalearn"][0].mark == "best"


def test_targets_of_one_name_keep_their_benchmarks():
    cells = [replace(SUMMARY.cells[2], target=target) for target in ("glue/rte", "superglue/rte", "glue/cb")]
    heads = [column.name for column in scores(replace(SUMMARY, cells=tuple(cells))).columns]
    assert heads == ["method", "glue/rte", "superglue/rte", "cb", "average"]


def test_parameters_with_sources_count_each_adapter_that_is_combined_once():
    of = {"a" * 64: 100, "b" * 64: 200}
    cells = (
        replace(SUMMARY.cells[2], sources=of),
        replace(SUMMARY.cells[3], sources={"b" * 64: 200, "c" * 64: 50}),
        *SUMMARY.cells[:2],
    )
    grid = costs(replace(SUMMARY, cells=cells))
    column = [(one.name, one.detail) for one in grid.columns[1:]].index(("parameters", "with sources"))
    assert rows_of(grid)["scalearn"][column].text == f"{12_345 + 10 + 350:,}"
    assert rows_of(grid)[OWN_ADAPTER][column].text == f"{2 * 12_345:,}"
    unknown = replace(cells[0], sources={**of, "d" * 64: None})
    assert rows_of(costs(replace(SUMMARY, cells=(unknown, *cells[1:]))))["scalearn"][column].text == "–"
