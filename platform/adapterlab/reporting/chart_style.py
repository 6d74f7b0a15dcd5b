"""What all charts of a report share: their sizes, their letters, their axes.

A chart of one part is as wide as a column of a paper, one of several as a page; letters have the size of a paper's captions.
Colours can be told apart by the colour-blind, and nothing is told by colour alone: lines have marks and dashes
as well, cells their numbers where these fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.tracking.drawing import FAINT, INK

COLUMN_IN, PAGE_IN = 3.4, 7.0
"""Width of one column and of both."""
DPI = 220
POINTS = 7.5
"""Size of letters, as in captions."""
SMALL = 6.5
LINE_IN = 0.125
"""Height of a line of letters."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
ACROSS = 3
"""Panels beside each other on a page."""


@dataclass(frozen=True)
class Place:
    """One value of a line, or one point."""

    x: float
    y: float
    spread: float | None = None
    """Standard deviation of y."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    label: str
    """With its unit."""
    is_log: bool = False
    ticks: Mapping[float, str] | None = None
    """Values that are named; ``None``: round ones."""


def dress(axes: Any, x: Axis, y: Axis) -> None:
    """Give a chart its axes, quiet ones."""
    if x.is_log:
        axes.set_xscale("log")
    if x.ticks is not None:
        axes.set_xticks(list(x.ticks), list(x.ticks.values()))
        axes.minorticks_off()
    axes.set_xlabel(x.label, fontsize=POINTS, color=INK)
    axes.set_ylabel(y.label, fontsize=POINTS, color=INK)
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=2, width=0.6)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=FAINT, linewidth=0.6)


def write_title(figure: Any, title: str) -> None:
    """Write a figure's first line."""
    figure.suptitle(title, fontsize=POINTS + 0.5, fontweight="bold", color=INK, x=0.01, ha="left")
