"""A picture of how well each label of a multi-label task is found, drawn without global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

_DPI = 150
_ROW_HEIGHT_IN = 0.24
_MOST_LETTERS = 60
_INK = "#1f2933"
_FAINT = "#7b8794"
_BAR = "#4a7fb5"


def label_bars(names: Sequence[str], scores: Sequence[float], counts: Sequence[int], *, title: str) -> bytes:
    """Draw one bar a label, the best on top, and return a PNG.

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
    axes.set_yticks(range(len(order)), [_short(names[i]) for i in order], fontsize=8, color=_INK)
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
    stream = io.BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight", pad_inches=0.18)
    return stream.getvalue()


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"
