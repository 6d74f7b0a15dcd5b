"""Matrices beside each other: grids of scores, coefficients, attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterlab.reporting.chart_style import (
    ACROSS,
    DPI,
    PAGE_IN,
    POINTS,
    SMALL,
    write_title,
)
from adapterlab.tracking.drawing import FAINT, INK, NO_VALUE, Drawn, drawn, is_light, new_figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CELL_IN = 0.25
"""Least width of a cell that a number is written in."""
_SLANTED_IN = 0.17
"""Least width of a column whose name is slanted; below it stands upright."""
_LEAST_REACH = 0.1
"""Least half-width of a two-sided scale relative to its centre, so that noise does not look like a result."""


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
    across = min(len(panels), 4 if columns <= 8 and len(panels) > 6 and not written else ACROSS)
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
        dpi=DPI,
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
        axes.set_title(panel.name, fontsize=POINTS, color=INK, loc="left")
        drawn_in.append(axes)
        if not (shared or written):
            _colour_bar(figure, image, axes, fraction=0.06, aspect=18)
    if shared and not written:
        _colour_bar(figure, image, drawn_in, fraction=0.03, aspect=30)
    write_title(figure, title)
    figure.supxlabel(f"{scale.label}{_white(scale)}", fontsize=SMALL, color=FAINT, x=0.01, ha="left")
    return drawn(figure)


def _turned(names: Sequence[str], room_in: float) -> int:
    """Return by how many degrees names are turned to fit into columns of a width."""
    if max(map(len, names)) * 0.06 <= room_in:
        return 0
    return 40 if room_in >= _SLANTED_IN else 90


def _colour_bar(figure: Any, image: Any, axes: Any, *, fraction: float, aspect: float) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=fraction, pad=0.02, aspect=aspect)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL - 0.5, colors=FAINT, length=0)
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
                    fontsize=SMALL - 0.8,
                    color=ink,
                )
    return image


def _name_matrix(axes: Any, names: Names, *, turned: int, left: bool, below: bool) -> None:
    """Write rows at the left of the first panel of a line, columns below the last of a file."""
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    axes.set_yticks(range(len(names.rows)), list(names.rows) if left else [])
    axes.set_xticks(range(len(names.columns)), list(names.columns) if below else [])
    for text in axes.get_xticklabels() if turned else ():
        text.set(rotation=turned, ha="right", va="center" if turned == 90 else "top", rotation_mode="anchor")
    axes.set_ylabel(names.row_label if left else "", fontsize=POINTS, color=INK)
    axes.set_xlabel(names.column_label if below else "", fontsize=POINTS, color=INK)
