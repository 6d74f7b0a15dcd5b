"""Every format shows the same numbers, what is best, and what is missing; text never becomes markup."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from adapterlab.reporting import render
from adapterlab.reporting.folder import document, write_report
from adapterlab.reporting.significance import compare
from adapterlab.reporting.summary import OWN_ADAPTER
from adapterlab.reporting.tables import Column, Entry, Grid, costs, grids, influences, scores
from reports import SUMMARY, layer

ODD = Grid("a_b & <c>", (Column("100 %", "x|y", is_number=False),), ((Entry("$5_{}~^\\#", "1", "*n*"),),))


def drawn(grid):
    console = Console(width=160, file=io.StringIO())
    console.print(render.drawn(grid))
    return console.file.getvalue()


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


def test_the_terminal_shows_values_notes_and_markup_as_they_are(capsys):
    text = drawn(scores(SUMMARY))
    assert "80.0 ± 10.0" in text
    assert "1/3 seeds" in text
    text = drawn(influences(SUMMARY))
    assert text.index("mnli 1.40") < text.index("cola 0.20")
    assert "[red]" in drawn(Grid("t", (Column("a"),), ((Entry("[red]x"),),)))


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


def test_html_is_well_formed_and_escapes():
    page = render.page("demo", [scores(SUMMARY), ODD], {"a b.png": "a <picture>"})
    open_tags = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):  # noqa: ARG002
            if tag not in ("meta", "img", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Reader().feed(page)
    assert open_tags == []
    assert '<td class="best">80.0 <small>± 10.0</small></td>' in page
    assert "<c>" not in page
    assert "a &lt;picture&gt;" in page


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
    picture = "coefficients-glue-rte-scalearn_uniform.png"
    assert (tmp_path / "new" / picture).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "new" / "report.html").read_text()
    assert re.findall(r'src="([^"]+)"', page) == [picture]
    assert len((tmp_path / "new" / "coefficients.csv").read_text().splitlines()) == 1 + len(layers)
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == json.loads(
        json.dumps(document(summary))
    )
