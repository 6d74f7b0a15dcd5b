"""Pictures of what a combiner learned, drawn without matplotlib's global state (safe in threads).

Shapes: ``L`` layers (or 1 where all layers share), ``T`` sources, ``d`` hidden size (or 1).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DPI = 150
_CELL_WIDTH_IN = 0.74
_CELL_HEIGHT_IN = 0.36
_TALL_CELL_HEIGHT_IN = 0.5
_SMALLEST_WIDTH_IN = 3.4
_LEAST_REACH = 0.1
"""Least half-width of the colour scale relative to its centre, so that noise does not look like a result."""
_INK = "#1f2933"
_FAINT = "#7b8794"
_NO_VALUE = "#d9dde2"


def coefficient_heatmap(
    coefficients: NDArray[Any],
    sources: Sequence[str],
    *,
    target: str,
    combiner: str,
    start: float | None = None,
) -> bytes:
    """Draw a transfer's scaling coefficients as layers × sources, and return a PNG.

    Where there is one coefficient a layer and source, its value is written in the cell; where there is
    a vector, the mean over the hidden dimensions and, below it, their standard deviation. White is where
    training started: red cells were turned up, blue ones down. The last row is the mean over layers.

    Args:
        coefficients: Coefficients, (L or 1, T, d or 1).
        sources: Names of the sources, T of them.
        target: Target task, for the title; its own source is printed bold.
        combiner: Combiner, for the title.
        start: The value all coefficients started from (``init_scale / T``); their median if ``None``.

    Raises:
        ValueError: The shape does not fit the sources.
    """
    values = np.asarray(coefficients, dtype=np.float64)
    if values.ndim != 3 or values.shape[1] != len(sources) or 0 in values.shape:
        raise ValueError(
            f"coefficients: got shape {values.shape}; expected (layers, {len(sources)} sources, hidden size or 1)"
        )
    layers, count, width = values.shape
    means = values.mean(axis=2)  # (L, T, d) -> (L, T)
    spreads = values.std(axis=2) if width > 1 else None
    finite = means[np.isfinite(means)]
    centre = start if start is not None else float(np.median(finite)) if finite.size else 0.0
    reach = float(np.abs(finite - centre).max()) if finite.size else 0.0
    reach = max(reach, _LEAST_REACH * abs(centre), 1e-6)

    from matplotlib.colors import TwoSlopeNorm

    norm = TwoSlopeNorm(centre, centre - reach, centre + reach)
    summary = means.mean(axis=0, keepdims=True) if layers > 1 else None  # (L, T) -> (1, T)
    drawing = _Drawing(layers, count, tall=spreads is not None, summary=summary is not None)
    digits = _digits(reach)
    names = _short_names(sources)
    own = [source.rsplit("/", 1)[-1] == target.rsplit("/", 1)[-1] for source in sources]
    labels = [str(layer) for layer in range(1, layers + 1)] if layers > 1 else ["all"]
    image = drawing.matrix(0, means, spreads, norm, labels, digits)
    if summary is not None:
        drawing.matrix(1, summary, None, norm, ["mean"], digits)
    drawing.label(names, own)
    what = (
        "scaling coefficients"
        if spreads is None
        else f"scaling coefficients, mean ± sd over {width} dimensions"
    )
    origin = "where training started" if start is not None else "their median"
    drawing.title(f"{target} · {combiner}", what, f"white = {centre:.{digits}f}, {origin}")
    drawing.colour_bar(image, centre, reach)
    return drawing.png()


class _Drawing:
    """One figure: a matrix, an optional summary row below it, a colour bar on the right."""

    def __init__(self, layers: int, sources: int, *, tall: bool, summary: bool) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        cell_height = _TALL_CELL_HEIGHT_IN if tall else _CELL_HEIGHT_IN
        width = max(_SMALLEST_WIDTH_IN, sources * _CELL_WIDTH_IN)
        heights = [layers * cell_height, *([_CELL_HEIGHT_IN] if summary else [])]
        gap = 0.12 if summary else 0.0
        self._tall = tall
        self._figure = Figure(figsize=(width + 2.0, sum(heights) + gap + 2.0), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self._figure)
        self._whole_width, self._whole_height = self._figure.get_size_inches()
        top = self._whole_height - 0.95
        self._axes = []
        for height in heights:
            top -= height
            self._axes.append(self._place(0.75, top, width, height))
            top -= gap
        self._bar = self._place(0.75 + width + 0.2, self._whole_height - 0.95 - heights[0], 0.14, heights[0])
        if heights[0] < 1.0:  # a lone row is too low for a readable bar
            self._bar.set_position(self._fraction(0.75 + width + 0.2, self._whole_height - 1.95, 0.14, 1.2))

    def matrix(
        self,
        row: int,
        means: NDArray[Any],
        spreads: NDArray[Any] | None,
        norm: Any,
        labels: Sequence[str],
        digits: int,
    ) -> Any:
        """Draw cells and their values; return the image."""
        from matplotlib import colormaps

        axes = self._axes[row]
        colours = colormaps["RdBu_r"].with_extremes(bad=_NO_VALUE)
        image = axes.imshow(np.ma.masked_invalid(means), cmap=colours, norm=norm, aspect="auto")
        rows, columns = means.shape
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
            axes.set_ylabel("layer", fontsize=9, color=_FAINT)
        for y in range(rows):
            for x in range(columns):
                self._write_cell(image, x, y, means, spreads, digits)
        return image

    def label(self, names: Sequence[str], own: Sequence[bool]) -> None:
        """Write the sources below the last row; the target's own is bold."""
        axes = self._axes[-1]
        slanted = max(map(len, names)) > 8
        axes.set_xticks(range(len(names)), names, fontsize=9, color=_INK)
        for text, is_own in zip(axes.get_xticklabels(), own, strict=True):
            if slanted:
                text.set(rotation=35, ha="right", rotation_mode="anchor")
            if is_own:
                text.set_fontweight("bold")

    def title(self, title: str, what: str, legend: str) -> None:
        """Write what one looks at, and how to read it."""
        left = 0.75 / self._whole_width
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
        bar.ax.set_yticklabels([f"{tick:.{digits}f}" for tick in ticks], fontsize=8, color=_INK)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)

    def png(self) -> bytes:
        """Return the figure, cut to what is drawn."""
        stream = io.BytesIO()
        self._figure.savefig(stream, format="png", bbox_inches="tight", pad_inches=0.18)
        return stream.getvalue()

    def _write_cell(
        self, image: Any, x: int, y: int, means: NDArray[Any], spreads: NDArray[Any] | None, digits: int
    ) -> None:
        axes = image.axes
        value = float(means[y, x])
        if not math.isfinite(value):
            axes.text(x, y, str(value), ha="center", va="center", fontsize=8, color=_INK)
            return
        colour = _INK if _is_light(image.cmap(image.norm(value))) else "white"
        middle = {"ha": "center", "va": "center", "color": colour}
        axes.text(x, y - (0.0 if spreads is None else 0.16), f"{value:.{digits}f}", fontsize=8, **middle)
        if spreads is not None:
            spread = f"± {float(spreads[y, x]):.{_digits(float(np.nanmax(spreads)))}f}"
            axes.text(x, y + 0.22, spread, fontsize=6.5, **middle)

    def _place(self, left: float, bottom: float, width: float, height: float) -> Any:
        return self._figure.add_axes(self._fraction(left, bottom, width, height))

    def _fraction(
        self, left: float, bottom: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        whole_width, whole_height = self._whole_width, self._whole_height
        return left / whole_width, bottom / whole_height, width / whole_width, height / whole_height


def _digits(size: float) -> int:
    """Return how many decimals show two digits of numbers of this size, between 2 and 4."""
    return min(4, max(2, 1 - math.floor(math.log10(size)))) if size > 0 else 2


def _is_light(colour: tuple[float, float, float, float]) -> bool:
    """Whether dark letters can be read on a colour (RGBA in [0, 1]).

    Source: relative luminance and contrast, WCAG 2.2; above 0.25 dark letters have the higher contrast
    for all colours of the map.
    """
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.25


def _short_names(sources: Sequence[str]) -> list[str]:
    """Drop the benchmark where that leaves every name different."""
    short = [source.rsplit("/", 1)[-1] for source in sources]
    return short if len(set(short)) == len(short) else list(sources)
