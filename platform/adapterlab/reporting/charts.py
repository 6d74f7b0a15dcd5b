"""Charts of a report: lines, points, bars and panels of matrices, at the size they are printed in.

A chart of one part is as wide as a column of a paper, one of several as a page; letters have the size of a paper's captions.
Colours can be told apart by the colour-blind, and nothing is told by colour alone: lines have marks and dashes
as well, cells their numbers where these fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapterlab.tracking.drawing import COLOURS, FAINT, INK, NO_VALUE, Drawn, drawn, is_light, new_figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMN_IN, PAGE_IN = 3.4, 7.0
"""Width of one column and of both."""
_DPI = 220
_POINTS = 7.5
"""Size of letters, as in captions."""
_SMALL = 6.5
_LINE_IN = 0.125
"""Height of a line of letters."""
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", ":", "-.")
"""After eight lines colours come again with other dashes."""
_ACROSS = 3
"""Panels beside each other on a page."""
_LEADER_PT = 7
"""From a chart's right edge to the names of its lines."""
_DODGE = 0.03
"""Share of the axis over which lines are moved apart, so that deviations at one place do not cover each other."""
_CELL_IN = 0.25
"""Least width of a cell that a number is written in."""
_SLANTED_IN = 0.17
"""Least width of a column whose name is slanted; below it stands upright."""
_LEAST_REACH = 0.1
"""Least half-width of a two-sided scale relative to its centre, so that noise does not look like a result."""
_AROUND = (
    (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1),
)  # fmt: skip
"""Where a point's name may stand, as seen from it."""
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_OFFSETS_PT = (5, 10, 16, 24, 34)


@dataclass(frozen=True)
class Place:
    """One value of a line, or one point."""

    x: float
    y: float
    spread: float | None = None
    """Standard deviation of y."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    label: str
    """With its unit."""
    is_log: bool = False
    ticks: Mapping[float, str] | None = None
    """Values that are named; ``None``: round ones."""


@dataclass(frozen=True)
class Dot:
    """One named point."""

    name: str
    place: Place
    group: str
    """Points of one group look alike."""


@dataclass(frozen=True)
class Panel:
    """One matrix among several."""

    name: str
    values: NDArray[np.float64]
    """(rows, columns); NaN where there is none."""


@dataclass(frozen=True)
class Names:
    """What the rows and columns of matrices are."""

    rows: Sequence[str]
    columns: Sequence[str]
    row_label: str
    column_label: str


@dataclass(frozen=True)
class Scale:
    """How a matrix is coloured."""

    label: str
    """What its numbers are, with their unit."""
    centre: float | None = None
    """The value that is white, with colours to both sides; ``None``: from the least to the greatest."""
    floor: float | None = None
    """The least that there can be, where colours begin; ``None``: with the least there is."""
    digits: int = 1


# -- lines --------------------------------------------------------------------------------------------


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, *, title: str) -> Drawn:
    """Draw lines in one chart, each named at its right end.

    Args:
        lines: At least one.
        x: The axis below.
        y: The axis at the left.
        title: What it is of.
    """
    figure = new_figure(COLUMN_IN, max(2.4, 0.8 + len(lines) * _LINE_IN), dpi=_DPI)
    axes = figure.add_subplot()
    for place, line in enumerate(lines):
        _draw_line(axes, _dodged(line, lines, place, len(lines), x), place, len(lines))
    _dress(axes, x, y)
    _title(figure, title)
    figure.draw_without_rendering()  # only now the axes have their height
    height = axes.get_window_extent().height / figure.dpi
    ends = [line.places[-1].y for line in lines]
    low, high = axes.get_ylim()
    gap = _LINE_IN * (high - low) / height
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
            fontsize=_POINTS,
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
    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    width = PAGE_IN if across > 1 else COLUMN_IN
    keys_across = max(1, int(width / (0.45 + 0.065 * max(map(len, names)))))
    keys_down = math.ceil(len(names) / keys_across)
    figure = new_figure(width, down * 1.9 + 0.4 + keys_down * _LINE_IN * 1.3, dpi=_DPI)
    handles: dict[str, Any] = {}
    for number, (name, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(down, across, number + 1)
        for line in lines:
            place = names.index(line.name)
            moved = _dodged(line, lines, place, len(names), x)
            handles[line.name] = _draw_line(axes, moved, place, len(names))
        below, left = number // across == down - 1, number % across == 0
        _dress(
            axes,
            Axis(x.label if below else "", x.is_log, x.ticks),
            Axis(y.label if left else "", y.is_log, y.ticks),
        )
        axes.set_title(name, fontsize=_POINTS, color=INK, loc="left")
    _title(figure, title)
    figure.legend(
        [handles[name] for name in names], names, loc="outside lower center", ncols=keys_across, fontsize=_POINTS,
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
        marker=_MARKS[place % len(_MARKS)],
        markersize=3,
        linewidth=1.1,
        elinewidth=0.6,
        capsize=1.5,
        alpha=0.95 if count < 8 else 0.85,
    )


def _dress(axes: Any, x: Axis, y: Axis) -> None:
    """Give a chart its axes, quiet ones."""
    if x.is_log:
        axes.set_xscale("log")
    if x.ticks is not None:
        axes.set_xticks(list(x.ticks), list(x.ticks.values()))
        axes.minorticks_off()
    axes.set_xlabel(x.label, fontsize=_POINTS, color=INK)
    axes.set_ylabel(y.label, fontsize=_POINTS, color=INK)
    axes.tick_params(labelsize=_SMALL, colors=FAINT, length=2, width=0.6)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=FAINT, linewidth=0.6)


def _title(figure: Any, title: str) -> None:
    figure.suptitle(title, fontsize=_POINTS + 0.5, fontweight="bold", color=INK, x=0.01, ha="left")


# -- points -------------------------------------------------------------------------------------------


def dot_chart(dots: Sequence[Dot], x: Axis, y: Axis, *, title: str) -> Drawn:
    """Draw named points; no name covers another one, or a point.

    On a logarithmic axis points at 0 stand at its left, before a line of dots.

    Args:
        dots: At least one.
        x: The axis below.
        y: The axis at the left.
        title: What it is of.
    """
    figure = new_figure(COLUMN_IN, 2.9, dpi=_DPI)
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
            yerr=spreads if any(spreads) else None, linestyle="none", marker=_MARKS[number % len(_MARKS)],
            markersize=4.5, color=COLOURS[number % len(COLOURS)], elinewidth=0.6, capsize=1.5, label=group,
        )  # fmt: skip
    _dress(axes, x, y)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.6)
    if x.is_log:
        left = at_zero / reach**0.08 if zeros else least / reach**0.12
        axes.set_xlim(left, most * reach**0.22)
        _name_powers(axes, least, most, at_zero if zeros else None)
    axes.margins(y=0.12)
    if len(groups) > 1:
        figure.legend(
            loc="outside lower center", ncols=len(groups), fontsize=_SMALL, frameon=False, handlelength=1.2
        )
    _title(figure, title)
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
    """Write each point's name where it covers nothing yet: near it first, then further away with a line."""
    from matplotlib.transforms import Bbox

    renderer = figure.canvas.get_renderer()
    frame = axes.get_window_extent()
    pixels = axes.transData.transform([(x, dot.place.y) for x, dot in zip(xs, dots, strict=True)])
    size = 3.0 * figure.dpi / 72
    taken = [Bbox.from_extents(px - size, py - size, px + size, py + size) for px, py in pixels]
    taken += [_bar(axes, x, dot.place) for x, dot in zip(xs, dots, strict=True) if dot.place.spread]
    for place in sorted(range(len(dots)), key=lambda one: -dots[one].place.y):
        text = axes.annotate(
            names[place],
            (xs[place], dots[place].place.y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=_SMALL,
            color=INK,
            ha="center",
            va="center",
        )
        box = text.get_window_extent(renderer)
        px, py = pixels[place]
        others = [other for number, other in enumerate(taken) if number != place]
        best: tuple[float, Any, list[Any]] | None = None
        for offset in _OFFSETS_PT:
            away = offset * figure.dpi / 72
            for right, up in _AROUND:
                far = 0.6 * away if right and up else away
                moved = Bbox.from_bounds(
                    px + right * (far + box.width / 2) - box.width / 2,
                    py + up * (far + box.height / 2) - box.height / 2,
                    box.width,
                    box.height,
                )
                leader = _leader(px, py, moved) if offset > _OFFSETS_PT[1] else []
                cost = sum(_common(moved, other) for other in others)
                cost += 20 * sum(_common(one, other) for one in leader for other in others)
                cost += 3 * (moved.width * moved.height - _common(moved, frame))
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, moved, leader)
            if best is not None and best[0] == 0:
                break
        assert best is not None
        _, moved, leader = best
        centre = (moved.x0 + moved.x1) / 2 - px, (moved.y0 + moved.y1) / 2 - py
        text.set_position((centre[0] * 72 / figure.dpi, centre[1] * 72 / figure.dpi))
        taken += [moved.padded(1), *leader]
        if leader:
            near = _nearest(px, py, moved)
            axes.annotate(
                "",
                (xs[place], dots[place].place.y),
                xytext=((near[0] - px) * 72 / figure.dpi, (near[1] - py) * 72 / figure.dpi),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkB": 2, "shrinkA": 0},
            )


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


def _bar(axes: Any, x: float, place: Place) -> Any:
    """Return the box of a point's deviation."""
    from matplotlib.transforms import Bbox

    spread = place.spread or 0.0
    ends = axes.transData.transform([(x, place.y - spread), (x, place.y + spread)])
    return Bbox.from_extents(ends[0][0] - 2, ends[0][1], ends[1][0] + 2, ends[1][1])


def _common(one: Any, other: Any) -> float:
    """Return the area that two boxes share."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(width * height) if width > 0 and height > 0 else 0.0


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
    figure = new_figure(width, 2.3 + keys_down * _LINE_IN * 1.3 + (0.3 if slanted else 0), dpi=_DPI)
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
    _dress(axes, Axis(""), y)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.tick_params(axis="x", length=0, labelsize=_POINTS, labelcolor=INK, rotation=35 if slanted else 0)
    if slanted:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.spines["bottom"].set_visible(False)
    axes.axhline(0, color=INK, linewidth=0.7)
    if len(bars) > 1:
        figure.legend(
            loc="outside lower center", ncols=keys_across, fontsize=_POINTS, frameon=False, handlelength=1.2
        )
    _title(figure, title)
    return drawn(figure)


# -- matrices -----------------------------------------------------------------------------------------


def matrix_panels(
    panels: Sequence[Panel],
    names: Names,
    scale: Scale,
    *,
    title: str,
    shared: bool = False,
    written: bool = False,
    up: bool = False,
) -> Drawn:
    """Draw matrices beside each other.

    Args:
        panels: At least one, all of one shape.
        names: Of rows and columns, the same for all.
        scale: How they are coloured.
        title: What it is of.
        shared: Whether one scale of colours is for all; else each panel has its own.
        written: Whether values are written in their cells, where they fit, in place of a bar of colours.
        up: Whether the first row is the lowest, as on an axis.
    """
    rows, columns = len(names.rows), len(names.columns)
    longest = max(map(len, names.rows)) * 0.055
    across = min(len(panels), 4 if columns <= 8 and len(panels) > 6 and not written else _ACROSS)
    beside = 0.12 if written or shared else 0.55  # room of a colour bar
    width = min((PAGE_IN - longest - 0.5) / across - beside, max(1.0, columns * 0.34))
    height = min(max(width * rows / columns, rows * 0.115, 0.5), 3.4)
    written = written and width / columns >= _CELL_IN
    down = math.ceil(len(panels) / across)
    turned = _turned(names.columns, width / columns)
    below = max(map(len, names.columns)) * 0.055 * math.sin(math.radians(turned)) + 0.1
    figure = new_figure(
        longest + 0.5 + across * (width + beside) + (0.55 if shared else 0),
        down * (height + 0.3) + below + 0.55,
        dpi=_DPI,
    )
    drawn_in = []
    image: Any = None
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(down, across, number + 1)
        values = [one.values for one in panels] if shared else [panel.values]
        image = _matrix(axes, panel.values, _norm(values, scale), scale, written=written)
        if up:
            axes.set_ylim(-0.5, rows - 0.5)
        left, last = number % across == 0, number // across == down - 1
        _name_matrix(axes, names, turned=turned, left=left, below=last)
        axes.set_title(panel.name, fontsize=_POINTS, color=INK, loc="left")
        drawn_in.append(axes)
        if not (shared or written):
            _colour_bar(figure, image, axes, fraction=0.06, aspect=18)
    if shared and not written:
        _colour_bar(figure, image, drawn_in, fraction=0.03, aspect=30)
    _title(figure, title)
    figure.supxlabel(f"{scale.label}{_white(scale)}", fontsize=_SMALL, color=FAINT, x=0.01, ha="left")
    return drawn(figure)


def _turned(names: Sequence[str], room_in: float) -> int:
    """Return by how many degrees names are turned to fit into columns of a width."""
    if max(map(len, names)) * 0.06 <= room_in:
        return 0
    return 40 if room_in >= _SLANTED_IN else 90


def _colour_bar(figure: Any, image: Any, axes: Any, *, fraction: float, aspect: float) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=fraction, pad=0.02, aspect=aspect)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_SMALL - 0.5, colors=FAINT, length=0)
    bar.locator = _few_ticks()
    bar.update_ticks()


def _white(scale: Scale) -> str:
    return "" if scale.centre is None else f"; white is {scale.centre:.{scale.digits}f}"


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _norm(values: Sequence[NDArray[np.float64]], scale: Scale) -> Any:
    import numpy as np
    from matplotlib.colors import Normalize

    finite = np.concatenate([one[np.isfinite(one)].ravel() for one in values])
    if not finite.size:
        return Normalize(0.0, 1.0)
    if scale.centre is None:
        low, high = float(finite.min()) if scale.floor is None else scale.floor, float(finite.max())
        return Normalize(low, high if high > low else low + 1e-9)
    reach = max(float(np.abs(finite - scale.centre).max()), _LEAST_REACH * abs(scale.centre), 1e-9)
    return Normalize(scale.centre - reach, scale.centre + reach)


def _colours(scale: Scale, *, written: bool) -> str:
    """Return a map of colours: two-sided, or from dark to light, or without numbers from white."""
    if scale.centre is not None:
        return "RdBu_r"
    return "cividis" if written else "Blues"


def _matrix(axes: Any, values: NDArray[np.float64], norm: Any, scale: Scale, *, written: bool) -> Any:
    import numpy as np
    from matplotlib import colormaps

    rows, columns = values.shape
    colours = colormaps[_colours(scale, written=written)].with_extremes(bad=NO_VALUE)
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    image = axes.pcolormesh(
        *edges, np.ma.masked_invalid(values), cmap=colours, norm=norm, edgecolors="white", linewidth=0.4
    )
    axes.set_ylim(rows - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row in range(rows if written else 0):
        for column in range(columns):
            value = float(values[row, column])
            if math.isfinite(value):
                ink = INK if is_light(colours(norm(value))) else "white"
                axes.text(
                    column,
                    row,
                    f"{round(value, scale.digits) + 0.0:.{scale.digits}f}",
                    ha="center",
                    va="center",
                    fontsize=_SMALL - 0.8,
                    color=ink,
                )
    return image


def _name_matrix(axes: Any, names: Names, *, turned: int, left: bool, below: bool) -> None:
    """Write rows at the left of the first panel of a line, columns below the last of a file."""
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=INK)
    axes.set_yticks(range(len(names.rows)), list(names.rows) if left else [])
    axes.set_xticks(range(len(names.columns)), list(names.columns) if below else [])
    for text in axes.get_xticklabels() if turned else ():
        text.set(rotation=turned, ha="right", va="center" if turned == 90 else "top", rotation_mode="anchor")
    axes.set_ylabel(names.row_label if left else "", fontsize=_POINTS, color=INK)
    axes.set_xlabel(names.column_label if below else "", fontsize=_POINTS, color=INK)
