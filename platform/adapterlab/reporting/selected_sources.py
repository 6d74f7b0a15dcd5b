"""The table of selected sources: what each rule measured of them, target by target."""

from __future__ import annotations

import math

from adapterlab.reporting.grid import NOTHING, Column, Entry, Grid
from adapterlab.reporting.summary import SelectedSources, Summary, short_names
from adapterlab.spec.selection import COSINE


def selected_sources(summary: Summary) -> Grid | None:
    """Return which sources each rule found to suit each target, best first; ``None`` where none were selected."""
    if not summary.selections:
        return None
    names = short_names([*summary.targets, *(name for one in summary.selections for name, _ in one.sources)])
    columns = (
        Column("target", is_number=False),
        Column("rule", is_number=False),
        Column("device, s"),
        Column("rows trained on"),
        Column("sources, best first", is_number=False),
    )
    rows = tuple(
        (
            Entry(names.get(one.target, one.target)),
            Entry(one.rule if one.source_seed is None else f"{one.rule}, source seed {one.source_seed}"),
            Entry(NOTHING if one.seconds is None else f"{one.seconds:,.1f}"),
            Entry(f"{one.train_rows:,}" if one.train_rows else NOTHING),
            Entry(", ".join(f"{names[name]} {_score(one, value)}" for name, value in one.sources)),
        )
        for one in summary.selections
    )
    metrics = dict.fromkeys(one.metric for one in summary.selections)
    notes = [_note(metric) for metric in metrics]
    return Grid(f"{summary.sweep}: selected sources", columns, rows, tuple(dict.fromkeys(notes)))


def _score(one: SelectedSources, value: float) -> str:
    if math.isnan(value):
        return NOTHING
    return f"{value:.3f}" if one.metric == COSINE else f"{100 * value:.1f}"


def _note(metric: str) -> str:
    if metric == COSINE:
        return "Of texts and of adapters: the cosine with the target's."
    return (
        "Of forward selection: the leading metric on validation in per cent, with all sources up to the one it stands "
        "behind and the target's own; of those that were not selected, in place of the last one that was."
    )
