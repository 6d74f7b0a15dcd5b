"""A chart of named points, none of whose names covers another one."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.reporting.chart_style import (
    COLUMN_IN,
    DPI,
    MARKS,
    SMALL,
    Axis,
    Place,
    dress,
    write_title,
)
from adapterlab.tracking.drawing import COLOURS, FAINT, INK, Drawn, drawn, new_figure

_AROUND = (
    (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1),
)  # fmt: skip
"""Where a point's name may stand, as seen from it."""
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_OFFSETS_PT = (5, 9, 15, 22, 30, 40)
_NEAR_PT = 12
"""Distance of a name from its point up to which no line ties them."""
_ORDERS = 12
"""In which names are placed by chance, beside four that are not."""


@dataclass(frozen=True)
class Dot:
    """One named point."""

    name: str
    place: Place
    group: str
    """Points of one group look alike."""


def dot_chart(dots: Sequence[Dot], x: Axis, y: Axis, *, title: str) -> Drawn:
    """Draw named points; no name covers another one, or a point.

    On a logarithmic axis points at 0 stand at its left, before a line of dots.

    Args:
        dots: At least one.
        x: The axis below.
        y: The axis at the left.
        title: What it is of.
    """
    figure = new_figure(COLUMN_IN, 2.9, dpi=DPI)
    axes = figure.add_subplot()
    positive = [dot.place.x for dot in dots if dot.place.x > 0]
    least, most = (min(positive), max(positive)) if positive else (1.0, 10.0)
    zeros = x.is_log and len(positive) < len(dots)
    reach = max(most / least, 10.0)
    at_zero = least / reach**0.16
    xs = [dot.place.x if dot.place.x > 0 or not x.is_log else at_zero for dot in dots]
    groups = list(dict.fromkeys(dot.group for dot in dots))
    for number, group in enumerate(groups):
        mine = [place for place, dot in enumerate(dots) if dot.group == group]
        spreads = [dots[place].place.spread or 0.0 for place in mine]
        axes.errorbar(
            [xs[place] for place in mine], [dots[place].place.y for place in mine],
            yerr=spreads if any(spreads) else None, linestyle="none", marker=MARKS[number % len(MARKS)],
            markersize=4.5, color=COLOURS[number % len(COLOURS)], elinewidth=0.6, capsize=1.5, label=group,
        )  # fmt: skip
    dress(axes, x, y)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.6)
    if x.is_log:
        left = at_zero / reach**0.08 if zeros else least / reach**0.12
        axes.set_xlim(left, most * reach**0.22)
        _name_powers(axes, least, most, at_zero if zeros else None)
    axes.margins(y=0.12)
    if len(groups) > 1:
        figure.legend(
            loc="outside lower center", ncols=len(groups), fontsize=SMALL, frameon=False, handlelength=1.2
        )
    write_title(figure, title)
    figure.draw_without_rendering()
    _name_dots(figure, axes, [dot.name for dot in dots], xs, dots)
    return drawn(figure)


def _name_powers(axes: Any, least: float, most: float, at_zero: float | None) -> None:
    """Name powers of ten along a logarithmic axis, and left of them the place of 0, if there is one."""
    high = axes.get_xlim()[1]
    powers = range(math.ceil(math.log10(least)), math.floor(math.log10(high)) + 1)
    every = max(1, math.ceil(len(powers) / 9))
    ticks = {10.0**power: f"10{str(power).translate(_RAISED)}" for power in powers[::every]}
    ticks = ticks or {least: f"{least:,.0f}", most: f"{most:,.0f}"}
    if at_zero is not None:
        ticks[at_zero] = "0"
        axes.axvline(math.sqrt(at_zero * least), color=FAINT, linewidth=0.7, linestyle=":")
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()


def _name_dots(
    figure: Any, axes: Any, names: Sequence[str], xs: Sequence[float], dots: Sequence[Dot]
) -> None:
    """Write each point's name where it covers nothing: near it first, then further away with a line.

    Whoever is placed first has the best place, so several orders are tried.
    """
    from matplotlib.transforms import Bbox

    renderer = figure.canvas.get_renderer()
    pixels = axes.transData.transform([(x, dot.place.y) for x, dot in zip(xs, dots, strict=True)])
    size = 3.0 * figure.dpi / 72
    marks = [Bbox.from_extents(px - size, py - size, px + size, py + size) for px, py in pixels]
    texts = [
        axes.annotate(
            name, (x, dot.place.y), xytext=(0, 0), textcoords="offset points", fontsize=SMALL, color=INK,
            ha="center", va="center",
        )
        for name, x, dot in zip(names, xs, dots, strict=True)
    ]  # fmt: skip
    sizes = [(box.width, box.height) for box in (text.get_window_extent(renderer) for text in texts)]
    free = _Free(axes.get_window_extent(), [tuple(one) for one in pixels], sizes, marks, figure.dpi / 72)
    by_height = sorted(range(len(dots)), key=lambda one: -dots[one].place.y)
    by_side = sorted(range(len(dots)), key=lambda one: xs[one])
    orders = [by_height, by_height[::-1], by_side, by_side[::-1]]
    shuffled = random.Random(0)  # noqa: S311 - which orders are tried is no secret
    orders += [shuffled.sample(by_height, len(by_height)) for _ in range(_ORDERS)]
    best: tuple[float, dict[int, Any]] | None = None
    for order in orders:
        found = free.placed(order)
        if best is None or found[0] < best[0]:
            best = found
        if best[0] == 0:
            break
    assert best is not None
    for place, moved in best[1].items():
        px, py = pixels[place]
        centre = (moved.x0 + moved.x1) / 2 - px, (moved.y0 + moved.y1) / 2 - py
        texts[place].set_position((centre[0] * 72 / figure.dpi, centre[1] * 72 / figure.dpi))
        near = _nearest(px, py, moved)
        if math.hypot(near[0] - px, near[1] - py) > _NEAR_PT * figure.dpi / 72:
            axes.annotate(
                "",
                (xs[place], dots[place].place.y),
                xytext=((near[0] - px) * 72 / figure.dpi, (near[1] - py) * 72 / figure.dpi),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkB": 2, "shrinkA": 0},
            )


@dataclass(frozen=True)
class _Free:
    """Where names of points can stand, in pixels."""

    frame: Any
    """Box of the axes."""
    pixels: Sequence[tuple[float, float]]
    """Of the points."""
    sizes: Sequence[tuple[float, float]]
    """Width and height of the names."""
    marks: Sequence[Any]
    """Boxes of the points."""
    scale: float
    """Pixels of a typographic point."""

    def placed(self, order: Sequence[int]) -> tuple[float, dict[int, Any]]:
        """Return how much is covered if names are placed in an order, and each one's box."""
        taken: list[Any] = []
        total, boxes = 0.0, {}
        for place in order:
            cost, box, leader = self._best(place, taken)
            total += cost
            boxes[place] = box
            taken += [box.padded(1), *leader]
        return total, boxes

    def _best(self, place: int, taken: Sequence[Any]) -> tuple[float, Any, list[Any]]:
        from matplotlib.transforms import Bbox

        (px, py), (width, height) = self.pixels[place], self.sizes[place]
        others = [*taken, *(mark for number, mark in enumerate(self.marks) if number != place)]
        best: tuple[float, Any, list[Any]] | None = None
        for offset in _OFFSETS_PT:
            away = offset * self.scale
            for right, up in _AROUND:
                far = 0.6 * away if right and up else away
                x = px + right * (far + width / 2) - width / 2
                y = py + up * (far + height / 2) - height / 2
                box = Bbox.from_bounds(x, y, width, height)
                leader = _leader(px, py, box) if offset > _NEAR_PT else []
                cost = sum(_common(box, other) for other in others)
                cost += 20 * sum(_common(one, other) for one in leader for other in others)
                cost += 3 * (width * height - _common(box, self.frame))
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, box, leader)
            if best is not None and best[0] < 1e-6:
                break
        assert best is not None
        return best


def _nearest(x: float, y: float, box: Any) -> tuple[float, float]:
    """Return the point of a box that is nearest."""
    return min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)


def _leader(x: float, y: float, box: Any) -> list[Any]:
    """Return small boxes along the line from a point to the box of its name."""
    from matplotlib.transforms import Bbox

    right, up = _nearest(x, y, box)
    steps = max(2, int(math.hypot(right - x, up - y) / 4))
    places = [((x + (right - x) * one / steps), (y + (up - y) * one / steps)) for one in range(1, steps)]
    return [Bbox.from_extents(px - 1, py - 1, px + 1, py + 1) for px, py in places]


def _common(one: Any, other: Any) -> float:
    """Return the area that two boxes share."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(width * height) if width > 0 and height > 0 else 0.0
