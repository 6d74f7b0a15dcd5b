"""Charts of lines and of bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapterlab.reporting.chart_style import (
    ACROSS,
    COLUMN_IN,
    DPI,
    LINE_IN,
    MARKS,
    PAGE_IN,
    POINTS,
    Axis,
    Place,
    dress,
    write_title,
)
from adapterlab.tracking.drawing import COLOURS, INK, Drawn, drawn, new_figure

_DASHES = ("-", "--", ":", "-.")
"""After eight lines colours come again with other dashes."""
_LEADER_PT = 7
"""From a chart's right edge to the names of its lines."""
_DODGE = 0.03
"""Share of the axis over which lines are moved apart, so that deviations at one place do not cover each other."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    places: tuple[Place, ...]


# -- lines --------------------------------------------------------------------------------------------


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, *, title: str) -> Drawn:
    """Draw lines in one chart, each named at its right end.

    Args:
        lines: At least one.
        x: The axis below.
        y: The axis at the left.
        title: What it is of.
    """
    figure = new_figure(COLUMN_IN, max(2.4, 0.8 + len(lines) * LINE_IN), dpi=DPI)
    axes = figure.add_subplot()
    for place, line in enumerate(lines):
        _draw_line(axes, _dodged(line, lines, place, len(lines), x), place, len(lines))
    dress(axes, x, y)
    write_title(figure, title)
    figure.draw_without_rendering()  # only now the axes have their height
    height = axes.get_window_extent().height / figure.dpi
    ends = [line.places[-1].y for line in lines]
    low, high = axes.get_ylim()
    gap = LINE_IN * (high - low) / height
    right = axes.transData.inverted().transform(
        (axes.get_window_extent().x1 + _LEADER_PT * figure.dpi / 72, 0)
    )[0]
    for place, (line, at) in enumerate(zip(lines, apart(ends, gap, low, high), strict=True)):
        last = line.places[-1]
        axes.annotate(
            line.name,
            (last.x, last.y),
            xytext=(right, at),
            textcoords="data",
            va="center",
            ha="left",
            fontsize=POINTS,
            color=INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[place % len(COLOURS)],
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 2,
            },
        )
    return drawn(figure)


def line_panels(panels: Mapping[str, Sequence[Line]], x: Axis, y: Axis, *, title: str) -> Drawn:
    """Draw one small chart for each name, with one key for all: a line of one name looks alike in each.

    Args:
        panels: Lines by the panel's name.
        x: The axis below each.
        y: The axis at the left; each panel has its own ends.
        title: What it is of.
    """
    names = list(dict.fromkeys(line.name for lines in panels.values() for line in lines))
    across = min(ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    width = PAGE_IN if across > 1 else COLUMN_IN
    keys_across = max(1, int(width / (0.45 + 0.065 * max(map(len, names)))))
    keys_down = math.ceil(len(names) / keys_across)
    figure = new_figure(width, down * 1.9 + 0.4 + keys_down * LINE_IN * 1.3, dpi=DPI)
    handles: dict[str, Any] = {}
    for number, (name, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(down, across, number + 1)
        for line in lines:
            place = names.index(line.name)
            moved = _dodged(line, lines, place, len(names), x)
            handles[line.name] = _draw_line(axes, moved, place, len(names))
        below, left = number // across == down - 1, number % across == 0
        dress(
            axes,
            Axis(x.label if below else "", x.is_log, x.ticks),
            Axis(y.label if left else "", y.is_log, y.ticks),
        )
        axes.set_title(name, fontsize=POINTS, color=INK, loc="left")
    write_title(figure, title)
    figure.legend(
        [handles[name] for name in names], names, loc="outside lower center", ncols=keys_across, fontsize=POINTS,
        frameon=False, handlelength=2.2,
    )  # fmt: skip
    return drawn(figure)


def apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return values moved so little that they are a gap apart, between two ends if all fit there.

    Args:
        values: In any order.
        gap: Least distance.
        low: The lower end.
        high: The upper end.
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    moved: list[list[float]] = []  # clusters: [centre, members]
    for place in order:
        moved.append([values[place], 1])
        while len(moved) > 1 and moved[-1][0] - moved[-2][0] < gap * (moved[-1][1] + moved[-2][1]) / 2:
            centre, count = moved.pop()
            before, counted = moved.pop()
            moved.append([(before * counted + centre * count) / (counted + count), counted + count])
    found = []
    for centre, count in moved:
        found += [centre + gap * (one - (count - 1) / 2) for one in range(int(count))]
    if found and found[-1] > high:
        found = [min(value, high - gap * (len(found) - 1 - one)) for one, value in enumerate(found)]
    if found and found[0] < low:
        found = [max(value, low + gap * one) for one, value in enumerate(found)]
    result = [0.0] * len(values)
    for place, value in zip(order, found, strict=True):
        result[place] = value
    return result


def _dodged(line: Line, lines: Sequence[Line], place: int, count: int, x: Axis) -> Line:
    """Return a line moved a little to its side, where lines have deviations."""
    known = [one.x for each in lines for one in each.places]
    if not any(one.spread for each in lines for one in each.places) or max(known) <= min(known):
        return line
    share = _DODGE * (place / max(1, count - 1) - 0.5)
    low, high = min(known), max(known)

    def moved(value: float) -> float:
        return value * (high / low) ** share if x.is_log else value + share * (high - low)

    return Line(line.name, tuple(replace(one, x=moved(one.x)) for one in line.places))


def _draw_line(axes: Any, line: Line, place: int, count: int) -> Any:
    spreads = [one.spread or 0.0 for one in line.places]
    colour = COLOURS[place % len(COLOURS)]
    return axes.errorbar(
        [one.x for one in line.places],
        [one.y for one in line.places],
        yerr=spreads if any(spreads) else None,
        color=colour,
        linestyle=_DASHES[place // len(COLOURS) % len(_DASHES)],
        marker=MARKS[place % len(MARKS)],
        markersize=3,
        linewidth=1.1,
        elinewidth=0.6,
        capsize=1.5,
        alpha=0.95 if count < 8 else 0.85,
    )


# -- bars ---------------------------------------------------------------------------------------------


def bar_chart(
    groups: Sequence[str], bars: Mapping[str, Sequence[Place | None]], y: Axis, *, title: str
) -> Drawn:
    """Draw bars from 0 side by side: one group a name, in each one bar a method.

    Args:
        groups: Names below.
        bars: By method, a value for each group; ``None`` where there is none.
        y: The axis at the left.
        title: What it is of.
    """
    wide = len(groups) * len(bars) > 12
    width = PAGE_IN if wide else COLUMN_IN
    keys_across = max(1, int(width / (0.45 + 0.065 * max(map(len, bars)))))
    keys_down = math.ceil(len(bars) / keys_across)
    slanted = max(map(len, groups)) * 0.06 > width / (len(groups) + 1)
    figure = new_figure(width, 2.3 + keys_down * LINE_IN * 1.3 + (0.3 if slanted else 0), dpi=DPI)
    axes = figure.add_subplot()
    each = 0.8 / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        known = [(place, one) for place, one in enumerate(values) if one is not None]
        axes.bar(
            [place - 0.4 + each * (number + 0.5) for place, _ in known], [one.y for _, one in known], width=each * 0.92,
            yerr=[one.spread or 0.0 for _, one in known] if any(one.spread for _, one in known) else None,
            error_kw={"elinewidth": 0.6, "capsize": 1.2, "ecolor": INK}, label=name,
            color=COLOURS[number % len(COLOURS)], hatch="////"[: 4 * (number // len(COLOURS) % 2)] or None,
            edgecolor="white", linewidth=0,
        )  # fmt: skip
    dress(axes, Axis(""), y)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.tick_params(axis="x", length=0, labelsize=POINTS, labelcolor=INK, rotation=35 if slanted else 0)
    if slanted:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.spines["bottom"].set_visible(False)
    axes.axhline(0, color=INK, linewidth=0.7)
    if len(bars) > 1:
        figure.legend(
            loc="outside lower center", ncols=keys_across, fontsize=POINTS, frameon=False, handlelength=1.2
        )
    write_title(figure, title)
    return drawn(figure)
