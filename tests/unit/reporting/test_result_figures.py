"""Figures of scores: drawn where the results have what they show, with every target or method; words elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapterlab.reporting.result_figures import result_figures
from adapterlab.reporting.summary import Summary, together
from drawings import cut, is_blank, texts
from reports import SUMMARY, cell

TARGETS = ("glue/rte", "superglue/cb")


def of(*cells, name="demo", key="0") -> Summary:
    return Summary(sweep=name, key=key * 64, state="complete", cells=tuple(cells))


def drawn(figures, name):
    (one,) = [picture for picture in figures.pictures if picture.name == name]
    assert not is_blank(one.png)
    assert cut(one.svg) == []
    return {text.text for text in texts(one.svg)}


def point(weights, score, target="glue/rte"):
    label = "probe " + " ".join(f"{axis} {value:g}" for axis, value in weights.items())
    return cell(
        label,
        [score, score + 0.02],
        target=target,
        expected=2,
        parameters=0,
        coordinates=weights,
        method=label,
    )


def test_scores_over_one_coefficient_are_a_line_for_each_target():
    found = result_figures(
        of(*(point({"target": w}, 0.5 + w / 4, target) for w in (0.0, 0.5, 1.0) for target in TARGETS))
    )
    assert [one.name for one in found.pictures] == ["probing-target"]
    said = drawn(found, "probing-target")
    assert {
        "rte",
        "cb",
        "0",
        "0.5",
        "1",
        "coefficient ω of the target's own adapter",
        "accuracy on test, per cent",
    } <= said


def test_scores_over_two_coefficients_are_a_grid_with_its_values():
    cells = [
        point({"glue/mnli": v, "target": w}, 0.5 + w / 4 + v / 10) for w in (0.0, 1.0) for v in (0.0, 1.0)
    ]
    said = drawn(result_figures(of(*cells)), "probing-target-glue-mnli")
    assert {
        "rte (accuracy)",
        "ω₁, the target's own adapter",
        "ω₂, mnli",
        "51.0",
        "61.0",
        "76.0",
        "86.0",
    } <= said


def test_a_grid_whose_scores_are_all_alike_is_told_in_words():
    cells = [point({"glue/mnli": v, "target": w}, 0.5) for w in (0.0, 1.0) for v in (0.0, 1.0)]
    found = result_figures(of(*cells))
    assert found.pictures == ()
    assert "all the same on rte" in found.words[0]
    (said,) = result_figures(of(*(point({"target": w}, 0.5) for w in (0.0, 1.0)))).words
    assert "the target's own adapter" in said


def test_one_point_is_no_line():
    assert result_figures(of(point({"target": 0.3}, 0.5))) == result_figures(of())


def few(name, count, score, **fields):
    label = f"{name}, {count} rows"
    return [
        cell(label, [score, score + 0.1], target=target, expected=2, few_shot=count, method=name, **fields)
        for target in TARGETS
    ]


def test_few_rows_are_curves_over_n_with_all_rows_last():
    cells = [
        one
        for n, score in ((4, 0.4), (100, 0.6), (None, 0.8))
        for name in ("scalearn", "adapter")
        for one in few(name, n, score)
    ]
    found = result_figures(of(*cells))
    for name in ("few-shot", "few-shot-average"):
        assert {"4", "100", "all", "rows of the target, N", "scalearn", "adapter"} <= drawn(found, name)
    assert {"rte (accuracy)", "cb (accuracy)"} <= drawn(found, "few-shot")


def test_sweeps_of_different_n_together_are_one_curve_a_method():
    def sweep(count, score):
        cells = [replace(one, combiner="scalearn") for one in few("scalearn", count, score)]
        return of(*cells, name=f"few-{count}", key=str(count)[0])

    found = result_figures(together([sweep(4, 0.4), sweep(16, 0.5)]))
    said = drawn(found, "few-shot-average")
    assert {"4", "16", "scalearn"} <= said
    assert not any("few-4" in one for one in said)


def test_sweeps_that_differ_in_more_than_n_are_not_drawn_and_that_is_said():
    cells = [
        one
        for name in ("a", "b")
        for n in (4, 16)
        for one in (replace(c, combiner=f"{name}: x, {n}") for c in few("x", n, 0.5))
    ]
    found = result_figures(of(*cells))
    assert not [one for one in found.pictures if one.kind == "few-shot"]
    assert "the same method and number" in found.words[0]


def test_methods_stand_where_their_parameters_and_scores_are():
    cells = [
        cell(
            name,
            [0.5 + number / 10] * 3,
            target=target,
            parameters=10**number if number else 0,
            is_baseline=number == 2,
        )
        for number, name in enumerate(("soup", "uniform", "adapter"))
        for target in TARGETS
    ]
    found = result_figures(of(*cells))
    said = drawn(found, "parameters")
    assert {"soup", "uniform", "adapter", "0", "one task alone", "combination of sources"} <= said
    assert "trained parameters for all 2 targets (log)" in said


def test_a_joint_row_stands_where_its_one_model_is():
    """Its parameters are those of all targets together; counted once, it and the adapter have as many."""
    rows = (
        ("adapter", 500, {"is_baseline": True}),
        ("joint", 1000, {"is_baseline": True, "is_joint": True}),
        ("x", 5, {}),
    )
    cells = [
        cell(name, [0.5 + count / 1e4] * 3, target=target, parameters=count, **how)
        for name, count, how in rows
        for target in TARGETS
    ]
    found = result_figures(of(*cells))
    assert {"one task alone", "all tasks together", "combination of sources"} <= drawn(found, "parameters")
    (picture,) = found.pictures
    where = {text.text: text for text in texts(picture.svg)}
    assert "10³" in where
    assert abs(where["adapter"].left - where["joint"].left) < 60, "both at 1,000"


def test_parameters_want_three_whole_methods():
    assert not result_figures(SUMMARY).pictures, "scalearn_pp lacks a target, so two are left"


def test_differences_to_a_row_are_bars_by_target():
    cells = [
        cell(row, [0.5 + up] * 3, target=target)
        for row, up in (("full", 0.0), ("scalearn", 0.1))
        for target in TARGETS
    ]
    said = drawn(result_figures(of(*cells), "full"), "difference-full")
    assert {"rte", "cb", "points above full"} <= said
    alike = result_figures(of(*cells[:2], *(replace(one, combiner="same") for one in cells[:2])), "full")
    assert alike.words == ("Not drawn: no row differs from full on any target.",)


@pytest.mark.parametrize("against", [None, "own adapter"])
def test_a_sweep_without_any_of_this_draws_nothing_else(against):
    kinds = {one.kind for one in result_figures(SUMMARY, against).pictures}
    assert kinds == (set() if against is None else {"difference"})
