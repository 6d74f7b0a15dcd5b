"""Charts: everything named is there and whole, names cover nothing, and nothing is told by colour alone."""

from __future__ import annotations

import numpy as np

from adapterlab.reporting.chart_style import Axis, Place
from adapterlab.reporting.charts import Line, apart, bar_chart, line_chart, line_panels
from drawings import whole

MANY = [f"target_{number}" for number in range(15)]


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


def test_bars_have_one_group_a_target_and_a_gap_where_nothing_is_known():
    bars = {"x": [Place(0, 1.0, 0.2), None], "y": [Place(0, -1.0), Place(0, 2.0)]}
    whole(bar_chart(["rte", "cb"], bars, Axis("points"), title="T"), "rte", "cb", "x", "y", "points")
    long = [f"a long name {number}" for number in range(6)]
    whole(bar_chart(long, {"x": [Place(0, 1.0)] * 6}, Axis("points"), title="T"), *long)
