"""Charts: everything named is there and whole, names cover nothing, and nothing is told by colour alone."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from adapterlab.reporting.charts import (
    Axis,
    Dot,
    Line,
    Names,
    Panel,
    Place,
    Scale,
    apart,
    bar_chart,
    dot_chart,
    line_chart,
    line_panels,
    matrix_panels,
)
from drawings import cut, is_blank, texts

MANY = [f"target_{number}" for number in range(15)]


def whole(drawn, *said):
    """Check that a figure is no blank, cuts no text, and holds some; return its texts."""
    assert not is_blank(drawn.png)
    assert cut(drawn.svg) == []
    found = texts(drawn.svg)
    assert set(said) <= {one.text for one in found}
    return found


def lines(names, xs=(0.0, 0.5, 1.0)):
    return [
        Line(name, tuple(Place(x, 60 + place / 9 + 20 * x, 1.0) for x in xs))
        for place, name in enumerate(names)
    ]


def test_each_of_fifteen_lines_is_named_and_no_name_covers_another_although_they_end_together():
    found = whole(line_chart(lines(MANY), Axis("ω"), Axis("accuracy, per cent"), title="T"), *MANY, "ω", "T")
    names = [one for one in found if one.text in MANY]
    assert not any(one.meets(other) for one in names for other in names if one is not other)


def test_lines_differ_by_more_than_colour():
    svg = line_chart(lines(MANY[:9]), Axis("x"), Axis("y"), title="T").svg.decode()
    assert svg.count("stroke-dasharray: 4") >= 1, "the ninth has the first one's colour, and dashes"


def test_the_same_figure_has_the_same_bytes():
    one, other = (line_chart(lines(MANY[:2]), Axis("x"), Axis("y"), title="T") for _ in range(2))
    assert (one.svg, one.png) == (other.svg, other.png)


def test_panels_share_one_key_and_each_has_its_title():
    panels = {f"panel {number}": lines(["a", "b"], (4.0, 100.0, 400.0)) for number in range(4)}
    ticks = {4.0: "4", 100.0: "100", 400.0: "all"}
    found = whole(
        line_panels(panels, Axis("N", is_log=True, ticks=ticks), Axis("y"), title="T"),
        *panels,
        "a",
        "b",
        "all",
    )
    assert [one.text for one in found].count("a") == 1


def test_names_are_moved_apart_as_little_as_it_takes_and_stay_in_order():
    assert apart([1.0, 5.0], 1.0, 0.0, 10.0) == [1.0, 5.0]
    assert apart([5.0, 5.0, 5.0], 1.0, 0.0, 10.0) == [4.0, 5.0, 6.0]
    assert apart([9.9, 10.0], 1.0, 0.0, 10.0) == [9.0, 10.0]
    assert apart([0.0, 0.1], 1.0, 0.0, 10.0) == [0.0, 1.0]
    found = apart([3.0, 1.0, 3.1, 2.9], 0.5, 0.0, 10.0)
    assert found[1] < found[3] < found[0] < found[2]
    assert min(np.diff(sorted(found))) >= 0.5 - 1e-9


METHODS = {
    "full_ft": 1e9, "adapter": 7.2e6, "propetl": 7.5e6, "compacter": 2.2e5, "lora": 9.4e6, "ia3": 4.4e5,
    "adapterfusion": 1.7e8, "adaptersoup": 0.0, "scalearn": 5.9e5, "scalearn_uniform": 768.0, "scalearn_pp": 4.9e4,
    "scalearn_uniform_pp": 64.0,
}  # fmt: skip


def test_names_of_points_cover_neither_each_other_nor_leave_the_figure():
    dots = [
        Dot(name, Place(count, 80 + place % 3 / 10), "a" if place < 6 else "b")
        for place, (name, count) in enumerate(METHODS.items())
    ]
    found = whole(
        dot_chart(dots, Axis("parameters", is_log=True), Axis("y"), title="T"), *METHODS, "a", "b", "0"
    )
    names = [one for one in found if one.text in METHODS]
    assert [
        (one.text, other.text) for one in names for other in names if one is not other and one.meets(other)
    ] == []


def test_bars_have_one_group_a_target_and_a_gap_where_nothing_is_known():
    bars = {"x": [Place(0, 1.0, 0.2), None], "y": [Place(0, -1.0), Place(0, 2.0)]}
    whole(bar_chart(["rte", "cb"], bars, Axis("points"), title="T"), "rte", "cb", "x", "y", "points")
    long = [f"a long name {number}" for number in range(6)]
    whole(bar_chart(long, {"x": [Place(0, 1.0)] * 6}, Axis("points"), title="T"), *long)


@pytest.mark.parametrize("shared", [False, True])
def test_matrices_name_their_rows_and_columns_once_a_line(shared):
    rng = np.random.default_rng(0)
    names = Names(
        [f"row {number}" for number in range(3)],
        [f"column {number}" for number in range(16)],
        "rows",
        "columns",
    )
    panels = [Panel(f"panel {number}", rng.normal(size=(3, 16))) for number in range(4)]
    found = [
        one.text
        for one in whole(matrix_panels(panels, names, Scale("what"), title="T", shared=shared), "what")
    ]
    assert found.count("row 0") == 2, "three panels stand beside each other"
    assert found.count("column 15") == 1, "below the last line"
    assert all(found.count(panel.name) == 1 for panel in panels)


def test_values_are_written_where_they_fit_and_a_cell_without_one_stays_empty():
    names = Names(["0", "1"], ["0", "1"], "ω₂", "ω₁")
    values = np.array([[81.234, np.nan], [-0.01, 7.0]])
    found = whole(
        matrix_panels([Panel("rte", values)], names, Scale("what"), title="T", written=True, up=True),
        "81.2",
        "7.0",
        "0.0",
    )
    assert "nan" not in {one.text for one in found}
    low, high = (next(one for one in found if one.text == said) for said in ("81.2", "7.0"))
    assert low.top > high.top, "the first row is the lowest"


def test_a_grid_in_an_svg_is_drawn_not_pictured():
    panel = Panel("", np.arange(6.0).reshape(2, 3))
    svg = matrix_panels([panel], Names("ab", "xyz", "", ""), Scale("what", 2.5), title="T", written=True).svg
    assert not list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}image"))  # noqa: S314 - it was just drawn
