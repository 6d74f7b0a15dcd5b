"""What all pictures share: colours, and a figure as PNG and as SVG, without matplotlib's global state for PNG.

Imports matplotlib when something is drawn.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import Any

INK = "#1f2933"
FAINT = "#616e7c"
NO_VALUE = "#d9dde2"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a6d3b")
"""Told apart by the colour-blind: Okabe and Ito, https://jfly.uni-koeln.de/color/; brown in place of yellow."""
_PAD_IN = 0.1
_SVG = threading.Lock()
"""How SVG is written is a setting of the whole process."""
_SVG_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "adapterlab"}
"""Letters stay letters, which can be searched; the same figure has the same bytes."""


@dataclass(frozen=True)
class Drawn:
    """One figure in both formats."""

    svg: bytes
    png: bytes


def new_figure(width_in: float, height_in: float, *, dpi: int) -> Any:
    """Return an empty white figure of a size in inches, whose parts find their places by themselves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=dpi, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Any) -> bytes:
    """Return a figure as a PNG, cut to what is drawn."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight", pad_inches=_PAD_IN)
    return stream.getvalue()


def svg(figure: Any) -> bytes:
    """Return a figure as an SVG, cut to what is drawn; letters are text."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with _SVG, rc_context(_SVG_SETTINGS):
        figure.savefig(stream, format="svg", bbox_inches="tight", pad_inches=_PAD_IN, metadata={"Date": None})
    return stream.getvalue()


def drawn(figure: Any) -> Drawn:
    """Return a figure in both formats."""
    return Drawn(svg(figure), png(figure))


def is_light(colour: tuple[float, float, float, float]) -> bool:
    """Whether dark letters can be read on a colour (RGBA in [0, 1]).

    Source: relative luminance and contrast, WCAG 2.2; above 0.25 dark letters have the higher contrast
    for all colours of the maps in use.
    """
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.25
