"""Means, deviations and missing seeds are shown as they are."""

from __future__ import annotations

import pytest

from adapterlab.report.render import influence_table, markdown, result_table
from adapterlab.report.summary import OWN_ADAPTER, Cell, Influence, Summary


def cell(combiner, test, *, target="glue/rte", expected=3):
    return Cell(
        target=target,
        combiner=combiner,
        metric="accuracy",
        test=tuple(test),
        validation=(),
        seeds=tuple(range(len(test))),
        expected_seeds=expected,
        parameters=12_345,
        settings={},
        seconds=1.0,
    )


SUMMARY = Summary(
    sweep="demo",
    key="0" * 64,
    state="running",
    cells=(
        cell(OWN_ADAPTER, [0.6], expected=1),
        cell("scalearn", [0.7, 0.8, 0.9]),
        cell("scalearn_pp", [0.5]),
        cell("scalearn", [], target="superglue/cb"),
    ),
    influences=(
        Influence("glue/rte", "scalearn", "glue/mnli", 1.4),
        Influence("glue/rte", "scalearn", "glue/cola", 0.2),
    ),
)


def test_mean_and_sample_deviation():
    one = SUMMARY.cell("glue/rte", "scalearn")
    assert one.mean == pytest.approx(0.8)
    assert one.std == pytest.approx(0.1)
    assert SUMMARY.cell("glue/rte", "scalearn_pp").std is None
    assert SUMMARY.cell("superglue/cb", "scalearn").mean is None


def test_markdown_shows_values_missing_seeds_and_gaps():
    lines = markdown(SUMMARY).splitlines()
    assert lines[0] == "| method | parameters | rte (accuracy) | cb (accuracy) |"
    assert lines[3] == "| scalearn | 12,345 | 80.0 ± 10.0 | – |"
    assert "50.0 (1/3 seeds)" in lines[4]


def test_tables_draw(capsys):
    from rich.console import Console

    console = Console(width=100)
    console.print(result_table(SUMMARY))
    console.print(influence_table(SUMMARY))
    out = capsys.readouterr().out
    assert "80.0 ± 10.0" in out
    assert out.index("mnli 1.40") < out.index("cola 0.20")


def test_json_holds_means():
    document = SUMMARY.to_json()
    assert document["cells"][1]["mean"] == pytest.approx(0.8)
    assert document["influences"][0]["source"] == "glue/mnli"
