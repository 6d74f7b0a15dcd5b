"""The table of selected sources, and rows that differ in their rule and number of sources."""

from __future__ import annotations

from dataclasses import replace

from adapterlab.reporting.selected_sources import selected_sources
from adapterlab.reporting.summary import SelectedSources, together
from adapterlab.reporting.tables import grids
from reports import SUMMARY

TEXTS = SelectedSources(
    "glue/rte",
    "text similarity",
    "cosine",
    (("glue/mnli", 0.91), ("superglue/cb", 0.5)),
    1.5,
    0,
    None,
    "a" * 64,
)
FORWARD = SelectedSources(
    "glue/rte", "forward selection with scalearn", "accuracy", (("mine", 0.75),), None, 1200, 3, "b" * 64
)


def test_each_rule_has_a_line_with_its_scores_and_its_cost():
    grid = selected_sources(replace(SUMMARY, selections=(TEXTS, FORWARD)))
    texts, forward = [[entry.text for entry in row] for row in grid.rows]
    assert texts == ["rte", "text similarity", "1.5", "–", "mnli 0.910, cb 0.500"]
    assert forward == ["rte", "forward selection with scalearn, source seed 3", "–", "1,200", "mine 75.0"]
    assert len(grid.notes) == 2


def test_a_report_without_selections_has_no_such_table_and_one_with_them_once():
    assert selected_sources(SUMMARY) is None
    shown = [grid.title for grid in grids(replace(SUMMARY, selections=(TEXTS,)))]
    assert [title for title in shown if "selected sources" in title] == [f"{SUMMARY.sweep}: selected sources"]


def test_sweeps_that_share_a_selection_show_it_once():
    one = replace(SUMMARY, selections=(TEXTS,))
    other = replace(SUMMARY, sweep="other", key="c" * 64, selections=(TEXTS, FORWARD))
    assert together([one, other]).selections == (TEXTS, FORWARD)
    assert other.to_json()["selections"][0]["rule"] == "text similarity"


def test_a_curve_over_sizes_is_one_of_each_rule():
    cell = replace(SUMMARY.cells[-1], sources={"a": 1, "b": 1}, method="")
    names = (
        "scalearn 2 sources",
        "scalearn 2 sources by text similarity",
        "scalearn over mt_a 2 sources by order",
    )
    assert [replace(cell, combiner=name).series for name in names] == [
        "scalearn",
        "scalearn by text similarity",
        "scalearn over mt_a by order",
    ]
