"""A chart of named points: no name covers another one, or leaves the figure."""

from __future__ import annotations

from adapterlab.reporting.chart_style import Axis, Place
from adapterlab.reporting.dot_chart import Dot, dot_chart
from drawings import whole

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
