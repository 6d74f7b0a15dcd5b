"""What MLflow says of a sweep is what its report says: the winner, its spread, and what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.facts import Facts
from adapterlab.reporting.comparison import Row, note, row_numbers, rows_of_studies, winner
from adapterlab.reporting.summary import Cell, Gap, Summary
from adapterlab.spec.model import Spec
from adapterlab.tracking import vocabulary
from adapterlab.tracking.views import note_with
from reports import layer


def cell(target: str, method: str, *test: float, **changes) -> Cell:
    whole = Cell(
        target=target,
        combiner=method,
        metric="accuracy",
        test=test,
        validation=tuple(value - 0.01 for value in test),
        seeds=tuple(range(len(test))),
        expected_seeds=len(test),
        parameters=10,
        settings={},
        seconds_a_run=2.0,
    )
    return replace(whole, **changes)


CELLS = (
    cell("glue/rte", "own adapter", 0.5, is_baseline=True),
    cell("glue/cb", "own adapter", 0.5, is_baseline=True),
    cell("glue/rte", "scalearn", 0.7, 0.8),
    cell("glue/cb", "scalearn", 0.5, 0.6),
    cell("glue/rte", "adapterfusion", 0.99),
    cell("glue/cb", "adapterfusion"),
)
SUMMARY = Summary("demo", "k" * 64, "complete", CELLS)


def rows(summary=SUMMARY) -> list[Row]:
    combined = {"scalearn": {"rte": 0.51, "cb": 0.493}, "adapterfusion": {"rte": 0.9, "cb": 0.1}}
    return [Row(one, ("a",), coefficients=combined.get(one.combiner)) for one in summary.cells]


SHARES = {("glue/rte", "scalearn"): {"contribution/rte": 0.25, "contribution/cb": 0.75}}


def test_the_winner_has_the_best_average_of_those_with_all_targets_and_seeds():
    """A method that is better where it has a value does not win over one that has all."""
    assert winner(SUMMARY) == "scalearn"
    lacking = tuple(replace(one, expected_seeds=3) if one.combiner == "scalearn" else one for one in CELLS)
    assert winner(replace(SUMMARY, cells=lacking)) == "own adapter"
    assert winner(replace(SUMMARY, cells=CELLS[4:])) is None


def test_a_row_has_what_is_known_and_nothing_else():
    numbers = row_numbers(CELLS[2])
    assert numbers[vocabulary.TEST_SCORE] == pytest.approx(0.75)
    assert numbers[vocabulary.TEST_SCORE_STD] == pytest.approx(0.0707, abs=1e-4)
    assert numbers[vocabulary.VALIDATION_SCORE] == pytest.approx(0.74)
    assert (numbers[vocabulary.PARAMETERS], numbers[vocabulary.SEEDS]) == (10, 2)
    assert vocabulary.TEST_SCORE_STD not in row_numbers(CELLS[0]), "one seed has no deviation"
    undefined = replace(CELLS[2], test=(0.5, float("nan")))
    assert vocabulary.TEST_SCORE not in row_numbers(undefined)


def test_the_first_line_of_the_note_names_the_winner_its_spread_and_its_coefficients():
    first, *rest = note(SUMMARY, rows(), SHARES, "#/x").splitlines()
    assert first == (
        "**demo**: best is **scalearn, 65.0 ± 7.1** on test (2 targets, 2 seeds)"
        " · coefficients on rte: cb 0.493 (75 %), rte 0.510 (25 %) · [all runs compared](#/x)"
    )
    table = [line for line in rest if line.startswith("|")]
    assert table[0] == "| method | rte | cb | average |"
    assert table[2] == "| **scalearn** | 75.0 ± 7.1 | 55.0 ± 7.1 | 65.0 ± 7.1 |"
    assert "| adapterfusion | 99.0 | – | – |" in table


def test_a_row_over_the_pool_of_one_seed_has_the_coefficients_of_that_pool():
    spec = Spec.model_validate(
        {
            "name": "demo",
            "backbone": {"source": "folder:/nowhere"},
            "pool": {"tasks": ["glue/rte", "superglue/cb"]},
            "source": {"seed": [1, 2]},
            "targets": {"tasks": ["glue/rte"]},
            "final": {"seeds": [0]},
        }
    )
    plan = compile_plan(spec, Facts.unknown(spec))
    layers = [
        replace(layer(name, position, mean, combiner="scalearn"), source_seed=seed)
        for seed, means in ((1, (0.2, 0.8)), (2, (0.6, 0.4)))
        for position, (name, mean) in enumerate(zip(("cb", "rte"), means, strict=True))
    ]
    one = cell("glue/rte", "scalearn", 0.7, 0.9, seeds=(0, 0), source_seeds=(1, 2))
    found = list(rows_of_studies(replace(SUMMARY, cells=(one,), layers=tuple(layers)), plan))
    assert [(row.shown[1], row.cell.mean) for row in found] == [
        ("scalearn · source seed 1", 0.7),
        ("scalearn · source seed 2", 0.9),
    ]
    assert [list(row.coefficients.values()) for row in found] == [[0.2, 0.8], [0.6, 0.4]]
    shares = {found[0].shown: {"contribution/cb": 0.9}, found[1].shown: {"contribution/cb": 0.3}}
    text = note(replace(SUMMARY, cells=(one,)), found, shares, "#/x")
    assert (
        "scalearn · source seed 2's coefficients on rte: cb 0.600 (30 %), rte 0.400" in text.splitlines()[0]
    )


def test_the_first_line_names_three_sources_and_counts_the_rest():
    """Of a longer one MLflow hides the end, where the link is."""
    pool = {f"task{number}": 1.0 - number / 100 for number in range(10)}
    of_ten = [Row(one, ("a",), coefficients=pool) for one in CELLS[2:4]]
    text = note(replace(SUMMARY, cells=CELLS[2:4]), of_ten, {}, "#/x")
    assert "rte: task0 1.000, task1 0.990, task2 0.980, 7 more · [all runs compared]" in text.splitlines()[0]


def test_where_a_baseline_wins_the_best_combination_is_told_with_its_name():
    cells = (*CELLS[2:4], cell("glue/rte", "full", 0.9, 0.9), cell("glue/cb", "full", 0.9, 0.9))
    changed = replace(SUMMARY, cells=cells)
    first = note(changed, rows(changed), SHARES, "#/x").splitlines()[0]
    assert "best is **full, 90.0 ± 0.0**" in first
    assert "scalearn's coefficients on rte: cb 0.493" in first


def test_methods_that_are_equal_as_shown_are_counted():
    cells = (*CELLS[2:4], *(replace(one, combiner="twin") for one in CELLS[2:4]))
    changed = replace(SUMMARY, cells=cells)
    assert ", level with 1 other ·" in note(changed, rows(changed), {}, "#/x").splitlines()[0]


def test_a_sweep_without_a_whole_method_says_so():
    gaps = (Gap(0, "failed", "loss is nan"),)
    cells = tuple(
        replace(one, test=(), seeds=(), validation=(), expected_seeds=1, gaps=gaps) for one in CELLS
    )
    text = note(replace(SUMMARY, cells=cells, state="failed"), [], {}, "#/x")
    assert text.startswith("**demo** (failed): no method has all its seeds yet")


def test_names_become_no_markup_and_a_large_sweep_fits():
    odd = tuple(
        cell(f"glue/{target}", f"m{number}_|<b>*", 0.5, 0.6) for number in range(60) for target in "abcdef"
    )
    text = note(replace(SUMMARY, cells=odd), [], {}, "#/x")
    assert "<b>" not in text
    assert "m0\\_" in text
    assert "35 more methods" in text
    assert len(note_with("", "k", text)) <= 5000
