"""Learning curves as inline SVG: sharp at any size, small, and without a library."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from adapterlab.reporting.evidence import Curve
from adapterlab.tracking.drawing import COLOURS

_WIDTH, _HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""After eight methods the colours come again with other dashes."""


def curve_chart(curves: Sequence[Curve], methods: Sequence[str], metric: str) -> str:
    """Return a chart of one target, a line for each method, with its key.

    Args:
        curves: Of all runs on the target.
        methods: All methods of the report, so that each has its colour in every chart.
        metric: What is drawn.
    """
    means = {method: _mean(one for one in curves if one.method == method) for method in methods}
    lines = {
        method: [(x, y) for x, y in points if math.isfinite(y)] for method, points in means.items() if points
    }
    everything = [point for points in lines.values() for point in points]
    if not everything:
        return ""
    last = max(2, *(x for x, _ in everything))
    low, high = _ends([y for _, y in everything])
    step = _nice((high - low) / 4)

    def at(x: float, y: float) -> str:
        across = _LEFT + (x - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT)
        up = _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{up:.1f}"

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" font-size="11" fill="#616e7c">',
        f"<title>{html.escape(metric)} on validation by epoch</title>",
    ]
    tick = math.ceil(low / step) * step
    while tick <= high + step / 1000:
        start, end = at(1, tick).split(","), at(last, tick).split(",")
        parts.append(
            f'<line x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}" stroke="#e4e7eb"/>'
            f'<text x="{_LEFT - 6}" y="{float(start[1]) + 4:.1f}" text-anchor="end">{_label(tick, step)}</text>'
        )
        tick += step
    every = max(1, math.ceil(last / 10))
    for epoch in range(1, int(last) + 1, every):
        across = at(epoch, low).split(",")[0]
        parts.append(f'<text x="{across}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{epoch}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">epoch</text>')
    for method, points in lines.items():
        style = _stroke(methods.index(method))
        parts.append(
            f'<polyline fill="none" {style} points="{" ".join(at(x, y) for x, y in points)}">'
            f"<title>{html.escape(method)}</title></polyline>"
        )
        if len(points) == 1:
            across, up = at(*points[0]).split(",")
            parts.append(f'<circle cx="{across}" cy="{up}" r="3" fill="none" {style}/>')
    parts.append("</svg>")
    return f"<figure>{''.join(parts)}<figcaption>{html.escape(metric)}</figcaption></figure>{_legend(lines, methods)}"


def _legend(lines: Iterable[str], methods: Sequence[str]) -> str:
    items = "".join(
        f'<li><svg width="26" height="8"><line x1="0" y1="4" x2="26" y2="4" {_stroke(methods.index(name))}/></svg>'
        f"{html.escape(name)}</li>"
        for name in lines
    )
    return f'<ul class="key">{items}</ul>'


def _stroke(place: int) -> str:
    dash = _DASHES[place // len(COLOURS) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{COLOURS[place % len(COLOURS)]}" stroke-width="2"{dashed}'


def _mean(curves: Iterable[Curve]) -> list[tuple[int, float]]:
    """Return the mean over the runs that got as far as an epoch, epoch by epoch."""
    values: dict[int, list[float]] = {}
    for one in curves:
        for epoch, value in zip(one.epochs, one.values, strict=True):
            values.setdefault(epoch, []).append(value)
    return [(epoch, fmean(found)) for epoch, found in sorted(values.items())]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), 0.005)
    return low - room, high + room


def _nice(size: float) -> float:
    """Return 1, 2 or 5 times a power of ten, not below a size."""
    power: float = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * 0.999)


def _label(value: float, step: float) -> str:
    return f"{value:.{max(0, -math.floor(math.log10(step)))}f}"
