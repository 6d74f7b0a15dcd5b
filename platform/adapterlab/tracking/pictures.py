"""Pictures of what was learned, drawn without matplotlib's global state (safe in threads).

Heatmaps of coefficients, bars of what removing a source does, bars of how well each label is found.

Shapes: ``L`` layers (or 1 where all layers share), ``T`` sources, ``d`` hidden size (or 1).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adapterlab.tracking.drawing import FAINT as _FAINT
from adapterlab.tracking.drawing import INK as _INK
from adapterlab.tracking.drawing import NO_VALUE as _NO_VALUE
from adapterlab.tracking.drawing import is_light, png

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DPI = 150
_CELL_WIDTH_IN = 0.74
_CELL_HEIGHT_IN = 0.36
_TALL_CELL_HEIGHT_IN = 0.6
_SMALLEST_WIDTH_IN = 3.4
_WIDEST_IN, _TALLEST_IN = 18.0, 24.0
"""Beyond these a matrix gets smaller cells instead of a larger page."""
_LEAST_CELL_IN = 0.2
_WRITABLE_IN = (0.46, 0.24)
"""Least width and height of a cell that a number is written in."""
_LEAST_REACH = 0.1
"""Least half-width of the colour scale relative to its centre, so that noise does not look like a result."""
_UP, _DOWN = "#b2182b", "#2166ac"
"""Ends of the heatmaps' colours: red is more, blue is less."""
_BAR = "#4a7fb5"
_ROW_HEIGHT_IN = 0.24
"""Height of one label's bar."""
_MOST_LETTERS = 60
"""Longest name of a label."""


@dataclass(frozen=True)
class Spread:
    """How coefficients vary within a cell, all (rows, columns)."""

    deviation: NDArray[Any]
    """Standard deviation."""
    over: str
    """Over what, for the legend: ``"384 dimensions"``, ``"5 seeds"``."""
    least: NDArray[Any] | None = None
    greatest: NDArray[Any] | None = None


@dataclass(frozen=True)
class HeatmapRows:
    """The rows of a heatmap."""

    names: Sequence[str]
    of: Literal["layer", "target"] = "layer"
    """What a row is."""

    @classmethod
    def of_layers(cls, count: int) -> HeatmapRows:
        """Return rows for layers 1 to ``count``; one row stands for all of them."""
        return cls([str(layer) for layer in range(1, count + 1)] if count > 1 else ["all"])


def coefficient_heatmap(
    coefficients: NDArray[Any],
    sources: Sequence[str],
    *,
    target: str,
    combiner: str,
    start: float | None = None,
    what: str = "scaling coefficients",
) -> bytes:
    """Draw a transfer's scaling coefficients as layers × sources, and return a PNG.

    Where there is one coefficient per layer and source, its value is written in the cell; where there is
    a vector, the mean over the hidden dimensions and, below it, their standard deviation and range. White
    is where training started: red cells were turned up, blue ones down. The last row is the mean over layers.

    Args:
        coefficients: Coefficients, (L or 1, T, d or 1).
        sources: Names of the sources, T of them.
        target: Target task, for the title; its own source is printed bold.
        combiner: Combiner, for the title.
        start: The value all coefficients started from (``init_scale / T``); their median if ``None``.
        what: What the numbers are; ``"mean attention"`` for a combiner that depends on the token.

    Raises:
        ValueError: The shape does not fit the sources.
    """
    values = np.asarray(coefficients, dtype=np.float64)
    if values.ndim != 3 or values.shape[1] != len(sources) or 0 in values.shape:
        raise ValueError(
            f"coefficients: got shape {values.shape}; expected (layers, {len(sources)} sources, hidden size or 1)"
        )
    layers, _, width = values.shape
    spread = None
    if width > 1:
        extremes = values.min(axis=2), values.max(axis=2)
        spread = Spread(values.std(axis=2), f"{width} dimensions", *extremes)
    figure = source_figure(
        values.mean(axis=2),
        sources,
        rows=HeatmapRows.of_layers(layers),
        title=f"{target} · {combiner}",
        what=what,
        spread=spread,
        start=start,
        own=target,
    )
    return png(figure)


def source_figure(
    means: NDArray[Any],
    sources: Sequence[str],
    *,
    rows: HeatmapRows,
    title: str,
    what: str = "scaling coefficients",
    spread: Spread | None = None,
    start: float | None = None,
    own: str = "",
) -> Any:
    """Draw numbers as rows × sources; values are written where they fit. Below several layers their mean is drawn.

    Args:
        means: (rows, sources); NaN where there is none.
        sources: Names of the sources.
        rows: What the rows are.
        title: First line.
        what: What the numbers are.
        spread: How they vary within a cell.
        start: The value that is white; the median if ``None``.
        own: The target, whose own source is printed bold.

    Returns:
        A matplotlib figure, for :func:`~adapterlab.tracking.drawing.drawn`.

    Raises:
        ValueError: The shape does not fit the names.
    """
    means = np.asarray(means, dtype=np.float64)
    if means.shape != (len(rows.names), len(sources)) or not means.size:
        raise ValueError(
            f"means: got shape {means.shape}; expected ({len(rows.names)} rows, {len(sources)} sources)"
        )
    finite = means[np.isfinite(means)]
    centre = start if start is not None else float(np.median(finite)) if finite.size else 0.0
    reach = float(np.abs(finite - centre).max()) if finite.size else 0.0
    reach = max(reach, _LEAST_REACH * abs(centre), 1e-6)

    from matplotlib.colors import TwoSlopeNorm

    norm = TwoSlopeNorm(centre, centre - reach, centre + reach)
    whole = rows.of == "layer" and len(rows.names) > 1
    longest = max(map(len, rows.names))
    drawing = _Drawing(*means.shape, tall=spread is not None, summary=whole, longest_row=longest)
    digits = _digits(reach)
    bold = [source.rsplit("/", 1)[-1] == own.rsplit("/", 1)[-1] for source in sources]
    image = drawing.matrix(0, means, spread, norm, rows.names, digits, rows.of)
    if whole:
        drawing.matrix(1, _mean_of_rows(means), None, norm, ["mean"], digits, rows.of)
    drawing.label(_short_names(sources), bold)
    if spread is not None:
        what = f"{what}, mean ± sd over {spread.over}"
    origin = "where training started" if start is not None else "their median"
    drawing.title(title, what, f"white = {centre:.{digits}f}, {origin}")
    drawing.colour_bar(image, centre, reach)
    return drawing.figure


def difference_bars(
    differences: Sequence[float],
    sources: Sequence[str],
    *,
    title: str,
    what: str,
    own: str = "",
) -> bytes:
    """Draw what each source's removal does to a metric, one bar per source, and return a PNG.

    Args:
        differences: Metric without the source minus the full metric; NaN where it is not known.
        sources: Their names.
        title: First line.
        what: What the bars are.
        own: The target, whose own source is printed bold.

    Raises:
        ValueError: There are not as many numbers as names, or none.
    """
    if len(differences) != len(sources) or not sources:
        raise ValueError(f"differences: got {len(differences)} for {len(sources)} sources")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 0.3 * len(sources) + 1.5
    figure = Figure(figsize=(6.4, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.24, 0.55 / height, 0.68, 0.3 * len(sources) / height))
    values = np.nan_to_num(np.asarray(differences, dtype=np.float64))
    places = np.arange(len(sources))
    axes.barh(places, values, color=[_DOWN if value < 0 else _UP for value in values], height=0.7)
    axes.set_yticks(places, _short_names(sources), fontsize=9, color=_INK)
    axes.invert_yaxis()
    for text, source in zip(axes.get_yticklabels(), sources, strict=True):
        if own and source.rsplit("/", 1)[-1] == own.rsplit("/", 1)[-1]:
            text.set_fontweight("bold")
    axes.axvline(0, color=_INK, linewidth=0.8)
    reach = max(float(np.abs(values).max()), 1e-6) * 1.35
    axes.set_xlim(-reach, reach)
    digits = max(3, _digits(reach))
    for place, given in zip(places, differences, strict=True):
        value = float(given)
        shown = f"{value:+.{digits}f}" if math.isfinite(value) else str(value)
        left = math.isfinite(value) and value < 0
        axes.annotate(
            shown,
            (float(values[place]), place),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
    axes.tick_params(axis="x", labelsize=8, colors=_FAINT)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.text(0.03, 1 - 0.3 / height, title, fontsize=12.5, color=_INK, fontweight="bold")
    figure.text(0.03, 1 - 0.55 / height, what, fontsize=9, color=_INK)
    return png(figure)


def label_bars(names: Sequence[str], scores: Sequence[float], counts: Sequence[int], *, title: str) -> bytes:
    """Draw one bar per label, the best on top, and return a PNG.

    Args:
        names: The labels.
        scores: F1 of each, in [0, 1].
        counts: Test rows that have each.
        title: What was scored, for example ``"sectors · scalearn"``.

    Raises:
        ValueError: There is no label, or the lengths differ.
    """
    if not names or not len(names) == len(scores) == len(counts):
        raise ValueError(f"{len(names)} labels, {len(scores)} scores, {len(counts)} counts: expected as many")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = sorted(range(len(names)), key=lambda i: (scores[i], counts[i]))
    figure = Figure(figsize=(7.0, len(names) * _ROW_HEIGHT_IN + 1.2), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh(range(len(order)), [scores[i] for i in order], color=_BAR, height=0.7)
    axes.set_yticks(range(len(order)), [_clipped(names[i]) for i in order], fontsize=8, color=_INK)
    for row, i in enumerate(order):
        axes.text(scores[i] + 0.01, row, f"{scores[i]:.2f}", va="center", fontsize=8, color=_INK)
        axes.text(1.12, row, f"{counts[i]:,}", va="center", ha="right", fontsize=8, color=_FAINT)
    axes.text(1.12, len(order) - 0.3, "rows", va="bottom", ha="right", fontsize=8, color=_FAINT)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlabel("F1 on the test split", fontsize=9, color=_FAINT)
    axes.tick_params(length=0, labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=_INK, pad=18)
    return png(figure)


def _clipped(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


class _Drawing:
    """One figure: a matrix, an optional summary row below it, a colour bar on the right."""

    def __init__(self, rows: int, sources: int, *, tall: bool, summary: bool, longest_row: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        usual = _TALL_CELL_HEIGHT_IN if tall else _CELL_HEIGHT_IN
        cell_height = _fitted(usual, rows, _TALLEST_IN)
        cell_width = _fitted(_CELL_WIDTH_IN, sources, _WIDEST_IN)
        width = max(_SMALLEST_WIDTH_IN, sources * cell_width)
        heights = [rows * cell_height, *([_CELL_HEIGHT_IN] if summary else [])]
        gap = 0.12 if summary else 0.0
        self._wide = width / sources >= _WRITABLE_IN[0]
        self._high = cell_height >= _WRITABLE_IN[1]
        self._tall = cell_height >= _TALL_CELL_HEIGHT_IN
        left = 0.35 + max(0.4, 0.08 * longest_row)
        self._left = left
        self._figure = Figure(
            figsize=(left + width + 1.25, sum(heights) + gap + 2.0), dpi=_DPI, facecolor="white"
        )
        FigureCanvasAgg(self._figure)
        self._whole_width, self._whole_height = self._figure.get_size_inches()
        top = self._whole_height - 0.95
        self._axes = []
        for height in heights:
            top -= height
            self._axes.append(self._place(left, top, width, height))
            top -= gap
        self._bar = self._place(left + width + 0.2, self._whole_height - 0.95 - heights[0], 0.14, heights[0])
        if heights[0] < 1.0:  # a lone row is too low for a readable bar
            self._bar.set_position(self._fraction(left + width + 0.2, self._whole_height - 1.95, 0.14, 1.2))

    def matrix(
        self,
        row: int,
        means: NDArray[Any],
        spread: Spread | None,
        norm: Any,
        labels: Sequence[str],
        digits: int,
        axis: str,
    ) -> Any:
        """Draw cells and their values; return the image."""
        from matplotlib import colormaps

        axes = self._axes[row]
        colours = colormaps["RdBu_r"].with_extremes(bad=_NO_VALUE)
        rows, columns = means.shape
        edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
        # A mesh, not an image: an image in an SVG is blurred when it grows.
        image = axes.pcolormesh(*edges, np.ma.masked_invalid(means), cmap=colours, norm=norm)
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.set_yticks(range(rows), labels, fontsize=8, color=_INK)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if row == 0:
            axes.set_ylabel(axis, fontsize=9, color=_FAINT)
        if self._wide and (self._high or row > 0):
            for y in range(rows):
                for x in range(columns):
                    self._write_cell(image, x, y, means, spread, digits)
        return image

    def label(self, names: Sequence[str], own: Sequence[bool]) -> None:
        """Write the sources below the last row; the target's own is bold."""
        axes = self._axes[-1]
        slanted = max(map(len, names)) > 8 or not self._wide
        axes.set_xticks(range(len(names)), names, fontsize=9, color=_INK)
        for text, is_own in zip(axes.get_xticklabels(), own, strict=True):
            if slanted:
                text.set(rotation=35, ha="right", rotation_mode="anchor")
            if is_own:
                text.set_fontweight("bold")

    def title(self, title: str, what: str, legend: str) -> None:
        """Write what one looks at, and how to read it."""
        left = self._left / self._whole_width
        for text, below_in, size, colour, weight in (
            (title, 0.3, 12.5, _INK, "bold"),
            (what, 0.53, 9, _INK, "normal"),
            (legend, 0.73, 8, _FAINT, "normal"),
        ):
            y = 1 - below_in / self._whole_height
            self._figure.text(left, y, text, fontsize=size, color=colour, fontweight=weight)

    def colour_bar(self, image: Any, centre: float, reach: float) -> None:
        """Draw the scale, with its ends and its centre."""
        ticks = [centre - reach, centre - reach / 2, centre, centre + reach / 2, centre + reach]
        bar = self._figure.colorbar(image, cax=self._bar, ticks=ticks)
        digits = _digits(reach)
        bar.ax.set_yticklabels(
            [f"{round(tick, digits) + 0.0:.{digits}f}" for tick in ticks], fontsize=8, color=_INK
        )
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)

    @property
    def figure(self) -> Any:
        """The whole of it."""
        return self._figure

    def _write_cell(
        self, image: Any, x: int, y: int, means: NDArray[Any], spread: Spread | None, digits: int
    ) -> None:
        axes = image.axes
        value = float(means[y, x])
        if not math.isfinite(value):
            axes.text(
                x,
                y,
                "–" if math.isnan(value) else str(value),
                ha="center",
                va="center",
                fontsize=8,
                color=_INK,
            )
            return
        colour = _INK if is_light(image.cmap(image.norm(value))) else "white"
        middle = {"ha": "center", "va": "center", "color": colour}
        if spread is None or not self._tall:
            axes.text(x, y, f"{value:.{digits}f}", fontsize=8, **middle)
            return
        ranged = spread.least is not None and spread.greatest is not None
        axes.text(x, y - (0.24 if ranged else 0.16), f"{value:.{digits}f}", fontsize=8, **middle)
        deviation = float(spread.deviation[y, x])
        if math.isfinite(deviation):
            decimals = _digits(float(np.nanmax(spread.deviation)))
            axes.text(
                x, y + (0.07 if ranged else 0.22), f"± {deviation:.{decimals}f}", fontsize=6.5, **middle
            )
        if spread.least is not None and spread.greatest is not None:
            span = f"{float(spread.least[y, x]):.2f} to {float(spread.greatest[y, x]):.2f}"
            axes.text(x, y + 0.33, span, fontsize=5, **middle)

    def _place(self, left: float, bottom: float, width: float, height: float) -> Any:
        return self._figure.add_axes(self._fraction(left, bottom, width, height))

    def _fraction(
        self, left: float, bottom: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        whole_width, whole_height = self._whole_width, self._whole_height
        return left / whole_width, bottom / whole_height, width / whole_width, height / whole_height


def _fitted(usual: float, count: int, room: float) -> float:
    """Return a cell's size: as usual, or smaller so that so many fit."""
    return max(_LEAST_CELL_IN, min(usual, room / count))


def _mean_of_rows(means: NDArray[Any]) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value has no mean
        average: NDArray[Any] = np.nanmean(means, axis=0, keepdims=True)
    return average


def _digits(size: float) -> int:
    """Return how many decimals show two digits of numbers of this size, between 2 and 4."""
    return min(4, max(2, 1 - math.floor(math.log10(size)))) if size > 0 else 2


def _short_names(sources: Sequence[str]) -> list[str]:
    """Drop the benchmark where that leaves every name different."""
    short = [source.rsplit("/", 1)[-1] for source in sources]
    return short if len(set(short)) == len(short) else list(sources)
