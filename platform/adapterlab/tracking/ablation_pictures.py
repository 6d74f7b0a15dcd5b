"""Pictures of what removing a source does, drawn without matplotlib's global state (safe in threads)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from adapterlab.tracking.pictures import DPI, FAINT, INK, digits_for, png_of, short_names

_UP, _DOWN = "#b2182b", "#2166ac"
"""Ends of the heatmaps' colours: red is more, blue is less."""


def difference_bars(
    differences: Sequence[float],
    sources: Sequence[str],
    *,
    title: str,
    what: str,
    own: str = "",
) -> bytes:
    """Draw what each source's removal does to a metric, a bar a source, and return a PNG.

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
    figure = Figure(figsize=(6.4, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.24, 0.55 / height, 0.68, 0.3 * len(sources) / height))
    values = np.nan_to_num(np.asarray(differences, dtype=np.float64))
    places = np.arange(len(sources))
    axes.barh(places, values, color=[_DOWN if value < 0 else _UP for value in values], height=0.7)
    axes.set_yticks(places, short_names(sources), fontsize=9, color=INK)
    axes.invert_yaxis()
    for text, source in zip(axes.get_yticklabels(), sources, strict=True):
        if own and source.rsplit("/", 1)[-1] == own.rsplit("/", 1)[-1]:
            text.set_fontweight("bold")
    axes.axvline(0, color=INK, linewidth=0.8)
    reach = max(float(np.abs(values).max()), 1e-6) * 1.35
    axes.set_xlim(-reach, reach)
    digits = max(3, digits_for(reach))
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
    axes.tick_params(axis="x", labelsize=8, colors=FAINT)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.text(0.03, 1 - 0.3 / height, title, fontsize=12.5, color=INK, fontweight="bold")
    figure.text(0.03, 1 - 0.55 / height, what, fontsize=9, color=INK)
    return png_of(figure)
