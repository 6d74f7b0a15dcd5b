"""Figures of scores: over the coefficients of a grid, over the rows of a target, over parameters, against a row.

As in ScaLearn (arXiv 2310.01217): Figures 3 and 5 are lines over one coefficient, 6 grids over two, 2 and 4 curves over
few rows, 1 parameters against scores; and AdapterFusion's (arXiv 2005.00247) Figure 3, differences to full
fine-tuning. A figure is drawn where the results have what it shows, and only then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from adapterlab.reporting.chart_style import Axis, Place
from adapterlab.reporting.charts import Line, bar_chart, line_chart, line_panels
from adapterlab.reporting.dot_chart import Dot, dot_chart
from adapterlab.reporting.matrices import Names, Panel, Scale, matrix_panels
from adapterlab.reporting.picture import Figures, Picture
from adapterlab.reporting.summary import Cell, Summary, short_names

_OWN = "target"
_SAME = 1e-9
"""Scores of one figure that differ by less are one score."""
_FEWEST_METHODS = 3
"""Fewer points are no cloud: a table says it better."""
_MOST_BARS = 120


def result_figures(summary: Summary, against: str | None = None) -> Figures:
    """Return the figures that a report's scores have data for.

    Args:
        summary: A sweep's results, or several sweeps' together.
        against: The row that others are compared with; absent: differences are not drawn.
    """
    return (
        _probing(summary)
        + _few_shot(summary)
        + _parameters(summary)
        + (Figures() if against is None else _differences(summary, against))
    )


# -- grids of coefficients ----------------------------------------------------------------------------


def _probing(summary: Summary) -> Figures:
    """Draw each grid: lines over one coefficient, panels over two."""
    grids: dict[tuple[str, tuple[str, ...]], list[Cell]] = {}
    for cell in summary.cells:
        if cell.coordinates and cell.mean is not None:
            sweep = cell.combiner.removesuffix(cell.series)
            named = tuple(sorted(cell.coordinates, key=lambda axis: (axis != _OWN, axis)))
            grids.setdefault((sweep, named), []).append(cell)
    found = Figures()
    for (sweep, axes), cells in grids.items():
        if len(axes) == 1:
            found += _over_one(summary, sweep, axes[0], cells)
        elif len(axes) == 2:
            found += _over_two(summary, sweep, (axes[0], axes[1]), cells)
    return found


def _over_one(summary: Summary, sweep: str, axis: str, cells: Sequence[Cell]) -> Figures:
    if len({cell.coordinates[axis] for cell in cells}) < 2:
        return Figures()
    names = short_names(summary.targets)
    lines = [
        Line(
            names[target],
            tuple(
                sorted(
                    (_place(cell.coordinates[axis], cell) for cell in cells if cell.target == target),
                    key=lambda place: place.x,
                )
            ),
        )
        for target in dict.fromkeys(cell.target for cell in cells)
    ]
    of = _axis_name(axis)
    what = f"test scores over the coefficient of {of}"
    if _is_flat(cells):
        return Figures(words=(f"Not drawn: {sweep}{what} are all the same.",))
    ticks = {value: f"{value:g}" for value in sorted({cell.coordinates[axis] for cell in cells})}
    drawn = line_chart(
        lines,
        Axis(f"coefficient ω of {of}", ticks=ticks if len(ticks) <= 12 else None),
        Axis(_score_label(cells)),
        title=f"{sweep}One source, scaled by ω",
    )
    caption = f"{sweep}{what}, one line a target; mean ± standard deviation over seeds."
    return Figures((Picture.of(f"probing-{sweep}{axis}", "probing", _first_large(caption), drawn),))


def _over_two(summary: Summary, sweep: str, axes: tuple[str, str], cells: Sequence[Cell]) -> Figures:
    import numpy as np

    across, up = ([*dict.fromkeys(sorted(cell.coordinates[axis] for cell in cells))] for axis in axes)
    if len(across) < 2 or len(up) < 2:
        return Figures()
    names = short_names(summary.targets)
    panels, alike = [], []
    for target in dict.fromkeys(cell.target for cell in cells):
        mine = [cell for cell in cells if cell.target == target]
        if _is_flat(mine):
            alike.append(names[target])
            continue
        values = np.full((len(up), len(across)), np.nan)
        for cell in mine:
            place = up.index(cell.coordinates[axes[1]]), across.index(cell.coordinates[axes[0]])
            values[place] = 100 * (cell.mean or 0.0)
        metric = summary.metric(target)
        panels.append(Panel(f"{names[target]} ({metric})" if metric else names[target], values))
    of = [_axis_name(axis) for axis in axes]
    words: tuple[str, ...] = ()
    if alike:
        words = (
            f"Not drawn: {sweep}scores over the coefficients of {of[0]} and {of[1]} are all the same on {', '.join(alike)}.",
        )
    if not panels:
        return Figures(words=words)
    drawn = matrix_panels(
        panels,
        Names(
            [f"{value:g}" for value in up], [f"{value:g}" for value in across], f"ω₂, {of[1]}", f"ω₁, {of[0]}"
        ),
        Scale("test score, per cent, mean over seeds; each panel has its own colours"),
        title=f"{sweep}Two sources, scaled by ω₁ and ω₂",
        written=True,
        up=True,
    )
    caption = f"{sweep}test scores in per cent over the coefficients of {of[0]} (ω₁) and {of[1]} (ω₂), mean over seeds."
    picture = Picture.of(f"probing-{sweep}{axes[0]}-{axes[1]}", "probing", _first_large(caption), drawn)
    return Figures((picture,), words)


def _axis_name(axis: str) -> str:
    return "the target's own adapter" if axis == _OWN else axis.rsplit("/", 1)[-1]


# -- few rows -----------------------------------------------------------------------------------------


def _few_shot(summary: Summary) -> Figures:
    """Draw each method's scores over the rows of a target, and their average over targets."""
    cells = [cell for cell in summary.cells if not cell.coordinates and cell.mean is not None]
    counts = {cell.few_shot for cell in cells}
    if len(counts) < 2:
        return Figures()
    places = [(cell.series, cell.target, cell.few_shot) for cell in cells]
    if len(set(places)) < len(places):  # sweeps that differ in more than their rows
        return Figures(
            words=(
                "Not drawn: scores over rows of the target; two rows of the table have the same method and number.",
            )
        )
    names = short_names(summary.targets)
    few = sorted(count for count in counts if count is not None)
    all_at = few[-1] * (few[-1] / few[0] if len(few) > 1 else 4) ** (1 / max(1, len(few) - 1))
    ticks = {float(count): str(count) for count in few} | ({all_at: "all"} if None in counts else {})
    methods = list(dict.fromkeys(cell.series for cell in cells))

    def at(cell: Cell) -> float:
        return all_at if cell.few_shot is None else float(cell.few_shot)

    by_target: dict[str, list[Line]] = {}
    for target in summary.targets:
        mine = [cell for cell in cells if cell.target == target]
        lines = [
            _line(method, [(at(cell), cell) for cell in mine if cell.series == method]) for method in methods
        ]
        by_target[f"{names[target]} ({summary.metric(target)})"] = [line for line in lines if line.places]
    x = Axis("rows of the target, N", is_log=True, ticks=ticks)
    found = []
    over = "mean ± standard deviation over seeds"
    if len(summary.targets) > 1:
        averages = [_averages(summary, method, cells, at) for method in methods]
        drawn = line_chart(
            [line for line in averages if line.places],
            x,
            Axis("mean over targets, per cent"),
            title="Few rows of the target: average",
        )
        caption = f"Average over the targets of test scores by rows of the target, {over}."
        found.append(Picture.of("few-shot-average", "few-shot", caption, drawn))
    drawn = line_panels(by_target, x, Axis("test score, per cent"), title="Few rows of the target")
    found.append(Picture.of("few-shot", "few-shot", f"Test scores by rows of the target, {over}.", drawn))
    return Figures(tuple(found))


def _line(name: str, cells: Iterable[tuple[float, Cell]]) -> Line:
    return Line(name, tuple(_place(x, cell) for x, cell in sorted(cells, key=lambda one: one[0])))


def _averages(summary: Summary, method: str, cells: Sequence[Cell], at: object) -> Line:
    rows = dict.fromkeys(cell.combiner for cell in cells if cell.series == method)
    places = []
    for row in rows:
        average = summary.average(row)
        cell = next(cell for cell in cells if cell.combiner == row)
        if average.mean is not None and callable(at):
            spread = None if average.std is None else 100 * average.std
            places.append(Place(at(cell), 100 * average.mean, spread))
    return Line(method, tuple(sorted(places, key=lambda place: place.x)))


# -- parameters ---------------------------------------------------------------------------------------


def _parameters(summary: Summary) -> Figures:
    """Draw each method's score over what it trains."""
    rows = [
        row for row in summary.combiners
        if not any(cell is not None and cell.coordinates for cell in summary.row(row))
    ]  # fmt: skip
    several = len(summary.targets) > 1
    dots = []
    for row in rows:
        cells = [cell for cell in summary.row(row) if cell is not None]
        counts = [cell.parameters for cell in cells if cell.parameters is not None]
        average = summary.average(row)
        if average.mean is None or len(counts) < len(summary.targets):
            continue
        count = max(counts) if all(cell.is_joint for cell in cells) else sum(counts)
        dots.append(Dot(row, Place(float(count), 100 * average.mean), _group(cells[0])))
    if len(dots) < _FEWEST_METHODS or len({dot.place.x for dot in dots}) < 2:
        return Figures()
    for_all = f"for all {len(summary.targets)} targets" if several else ""
    score = "mean test score, per cent" if several else _score_label(summary.cells)
    drawn = dot_chart(
        dots,
        Axis(" ".join(("trained parameters", for_all, "(log)")).replace("  ", " "), is_log=True),
        Axis(score),
        title="Parameters and scores",
    )
    caption = f"Trained parameters {for_all or 'of each method'}, heads not counted, and mean test scores."
    return Figures((Picture.of("parameters", "parameters", caption, drawn),))


def _group(cell: Cell) -> str:
    if cell.is_joint:
        return "all tasks together"
    return "one task alone" if cell.is_baseline else "combination of sources"


# -- differences --------------------------------------------------------------------------------------


def _differences(summary: Summary, against: str) -> Figures:
    """Draw each row's differences to a reference, in points."""
    names = short_names(summary.targets)
    bars: dict[str, list[Place | None]] = {}
    for row in _methods(summary):
        if row == against:
            continue
        bars[row] = [_difference(summary, target, row, against) for target in summary.targets]
    values = [place.y for places in bars.values() for place in places if place is not None]
    if not values or len(bars) * len(summary.targets) > _MOST_BARS:
        return Figures()
    if max(map(abs, values)) < _SAME:
        return Figures(words=(f"Not drawn: no row differs from {against} on any target.",))
    drawn = bar_chart(
        [names[target] for target in summary.targets],
        bars,
        Axis(f"points above {against}"),
        title=f"Differences to {against}",
    )
    caption = (
        f"Differences to {against} on test in points; ± standard deviation over the seeds that both have."
    )
    return Figures((Picture.of(f"difference-{against}", "difference", caption, drawn),))


def _difference(summary: Summary, target: str, row: str, against: str) -> Place | None:
    from statistics import fmean, stdev

    one, other = summary.cell(target, row), summary.cell(target, against)
    if one is None or other is None:
        return None
    apart = [
        100 * (value - other.by_seed[seed]) for seed, value in one.by_seed.items() if seed in other.by_seed
    ]
    if not apart:
        return None
    return Place(0.0, fmean(apart), stdev(apart) if len(apart) > 1 else None)


def _methods(summary: Summary) -> list[str]:
    """Return the rows that are no points of a grid."""
    points = {cell.combiner for cell in summary.cells if cell.coordinates}
    return [row for row in summary.combiners if row not in points]


# -- scores -------------------------------------------------------------------------------------------


def _place(x: float, cell: Cell) -> Place:
    return Place(x, 100 * (cell.mean or 0.0), None if cell.std is None else 100 * cell.std)


def _score_label(cells: Iterable[Cell]) -> str:
    metrics = {cell.metric for cell in cells if cell.metric}
    return (
        f"{metrics.pop().replace('_', ' ')} on test, per cent"
        if len(metrics) == 1
        else "test score, per cent"
    )


def _is_flat(cells: Iterable[Cell]) -> bool:
    """Whether each target has one score everywhere."""
    ends: dict[str, tuple[float, float]] = {}
    for cell in cells:
        low, high = ends.get(cell.target, (math.inf, -math.inf))
        ends[cell.target] = min(low, cell.mean or 0.0), max(high, cell.mean or 0.0)
    return all(high - low < _SAME for low, high in ends.values())


def _first_large(text: str) -> str:
    return text[:1].upper() + text[1:]
