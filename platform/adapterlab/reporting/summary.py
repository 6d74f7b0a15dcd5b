"""A sweep's results as numbers: one cell for each row (a combiner or a baseline) and target, over seeds.

What is missing is part of the result: a seed that failed, or has not ended, is a gap that is shown;
a value that is not finite is never averaged away.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from adapterlab.reporting.variance import VarianceComponents, variance_components
from adapterlab.search.separation import Separation
from adapterlab.search.spans import joined_spans

OWN_ADAPTER = "own adapter"
"""Row of the target's own source adapter (stage 1 alone) in sweeps without baselines of their own."""


@dataclass(frozen=True)
class Gap:
    """A run that gave no value."""

    seed: int | None
    """``None`` where not even a study is there to name seeds."""
    state: str
    """How far it is: ``"pending"``, ``"running"``, ``"failed"``, ``"killed"``."""
    reason: str | None = None
    """Why, as far as it is known."""
    source_seed: int | None = None
    """Seed of its pool, where there are several pools."""


@dataclass(frozen=True)
class Cell:
    """One row on one target."""

    target: str
    """Full task name."""
    combiner: str
    """The row: name of a combiner, with what sets it apart from others of its kind, or of a baseline."""
    metric: str
    """The leading metric; empty while nothing is known of it."""
    test: tuple[float, ...]
    """The leading metric on test, one value a seed, by seed."""
    validation: tuple[float, ...]
    """The same on validation."""
    seeds: tuple[int, ...]
    expected_seeds: int
    """Runs the spec asks for."""
    parameters: int | None
    """Trained parameters, head not counted."""
    settings: Mapping[str, Any]
    """The chosen setting."""
    seconds_a_run: float | None
    """Computing of one run, mean over the cell's; a pass's time is divided by the lanes that shared it."""
    is_baseline: bool = False
    head_parameters: int | None = None
    search_seconds: float | None = None
    """Computing of all trials that chose the setting, told likewise; ``None`` where nothing was searched."""
    gaps: tuple[Gap, ...] = ()
    """Runs without a value."""
    search_clock_seconds: float | None = None
    """Time by the clock in which a trial of the search was open; other searches may have had the same minutes."""
    is_own_adapter: bool = False
    """Whether the row is the target's own source adapter: the pool's method, trained on the target alone."""
    keys: tuple[str, ...] = ()
    """The runs' keys in the catalog, by seed."""
    run_ids: tuple[str | None, ...] = ()
    """Their MLflow runs, by seed."""
    study_key: str | None = None
    """The study's key, of several pools the first's; ``None`` for a baseline whose setting is fixed."""
    search_trials: int | None = None
    """Trials that chose the setting, whatever became of them; ``None`` where nothing was searched."""
    search_train_rows: int | None = None
    """Rows that these trials trained on together, each choice a row and each epoch anew."""
    separation: Separation | None = None
    """How far the best trials lie apart; ``None`` where a trial was one run, or its runs are not at hand."""
    source_seeds: tuple[int, ...] = ()
    """Seed of the pool that each run combines, beside ``seeds``; empty for a baseline, or where it is not known."""
    few_shot: int | None = None
    """Rows of the target that runs train on; ``None``: all."""
    pool_size: int | None = None
    """Sources that are combined; ``None`` for a baseline, or while that is not known."""
    is_joint: bool = False
    """Whether the row's parameters are those of one model, which all its targets train together."""
    method: str = ""
    """The row without what sets it apart along a dimension of the spec, or among several sweeps; empty: as the row."""
    coordinates: Mapping[str, float] = field(default_factory=dict)
    """Where it lies on the axes of its combiner's grid, by axis: a task, or ``"target"``; empty: it is of no grid."""
    sources: Mapping[str, int | None] = field(default_factory=dict)
    """Trained parameters of each adapter that it combines, by the adapter's key; empty for a baseline."""

    @property
    def series(self) -> str:
        """The row without the number of rows, or of sources, that sets it apart from others of its method and rule."""
        name = self.method or self.combiner
        name = name.removesuffix(f" {'all' if self.few_shot is None else self.few_shot} rows")
        count = len(self.sources)
        if not count:
            return name
        counted, by = f" {count} source{'' if count == 1 else 's'}", " by "
        return name.removesuffix(counted).replace(counted + by, by, 1)

    @property
    def sweep_prefix(self) -> str:
        """What stands before the row's name among several sweeps; empty in a report of one."""
        return self.combiner.removesuffix(self.method) if self.method else ""

    @property
    def is_nested(self) -> bool:
        """Whether its runs combine pools of several seeds."""
        return len(set(self.source_seeds)) > 1

    @property
    def units(self) -> tuple[int, ...]:
        """What stands for each run where runs are drawn or paired: its seed, of several pools that of its pool.

        Runs over one pool have its sources in common, so that several pools alone are draws of their own.
        """
        return self.source_seeds if self.is_nested else self.seeds

    @property
    def components(self) -> VarianceComponents | None:
        """How its variance divides between pools and runs over one; ``None`` where that cannot be told."""
        if not self.is_nested or self.undefined:
            return None
        return variance_components(
            dict(zip(zip(self.source_seeds, self.seeds, strict=True), self.test, strict=True))
        )

    def over(self, source_seed: int) -> Cell:
        """Return the cell of the runs over the pool of one seed."""
        taken = [place for place, one in enumerate(self.source_seeds) if one == source_seed]
        parallel = ("test", "validation", "seeds", "source_seeds", "keys", "run_ids")
        kept: dict[str, Any] = {
            name: tuple(values[place] for place in taken)
            for name in parallel
            if (values := getattr(self, name))
        }
        gaps = tuple(gap for gap in self.gaps if gap.source_seed == source_seed)
        return replace(self, **kept, gaps=gaps, expected_seeds=len(taken) + len(gaps))

    @property
    def undefined(self) -> tuple[int, ...]:
        """Seeds whose metric on test is no finite number."""
        places = zip(self.seeds, self.test, strict=True)
        return tuple(dict.fromkeys(seed for seed, value in places if not math.isfinite(value)))

    @property
    def mean(self) -> float | None:
        """Mean over all runs on test; ``None`` without values, or if one of them is not finite."""
        return fmean(self.test) if self.test and not self.undefined else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over all runs on test; ``None`` for fewer than two."""
        return stdev(self.test) if len(self.test) > 1 and not self.undefined else None

    @property
    def is_whole(self) -> bool:
        """Whether every run the spec asks for has a finite value."""
        return self.mean is not None and not self.gaps and len(self.test) >= self.expected_seeds

    @property
    def by_seed(self) -> dict[int, float]:
        """The finite values on test by ``units``: by seed, of several pools the mean of each by its seed."""
        found: dict[int, list[float]] = {}
        for unit, value in zip(self.units, self.test, strict=True):
            if math.isfinite(value):
                found.setdefault(unit, []).append(value)
        return {unit: fmean(values) for unit, values in found.items()}


@dataclass(frozen=True)
class Average:
    """One row over all targets."""

    mean: float | None
    """Mean of the targets' means; ``None`` if a target has none: targets are never left out."""
    std: float | None
    """Sample standard deviation, over the seeds all targets share, of a seed's mean over targets."""
    by_seed: Mapping[int, float]
    """A seed's mean over the targets, for the seeds that all targets share."""
    is_whole: bool
    """Whether every target's cell is whole."""


@dataclass(frozen=True)
class Influence:
    """How much one source contributes to one target, under one combiner."""

    target: str
    combiner: str
    source: str
    mean: float
    """Mean scaling coefficient over layers, dimensions and seeds."""


@dataclass(frozen=True)
class LayerInfluence:
    """One source's coefficients in one layer of one transfer."""

    target: str
    combiner: str
    seed: int
    layer: int
    """From 0; the only one where all layers share their coefficients."""
    source: str
    position: int
    """Place of the source in the pool, from 0."""
    mean: float
    """Over the hidden dimensions; the coefficient itself where it is one number."""
    std: float
    minimum: float
    maximum: float
    is_vector: bool
    """Whether there is one coefficient for each hidden dimension."""
    is_attention: bool = False
    """Whether these are means of weights that depend on the token."""
    source_seed: int | None = None
    """Seed of the pool, where there are several pools."""


@dataclass(frozen=True)
class Search:
    """One finished search, so that it can be shown."""

    target: str
    combiner: str
    key: str
    """Of the study."""
    name: str
    """Of the study in the Optuna storage."""
    metric: str
    trials: int
    """Its trials, whatever became of them."""


@dataclass(frozen=True)
class PoolSearch:
    """What it cost to search the settings of the pool's adapters, which all rows share that combine them."""

    searches: int
    """How many there are so far: one a source."""
    trials: int
    seconds: float | None
    """Computing of all trials; ``None`` where some did not note it."""
    clock_seconds: float | None
    """Time by the clock in which one of their trials was open; ``None`` where that is not known."""
    train_rows: int | None


@dataclass(frozen=True)
class SelectedSources:
    """Which sources a rule found to suit a target."""

    target: str
    rule: str
    """In words, of forward selection with the combiner."""
    metric: str
    """What a score is, see the catalog's ``selections``."""
    sources: tuple[tuple[str, float], ...]
    """Name and score of each, best first."""
    seconds: float | None
    """Computing."""
    train_rows: int | None
    """Rows it trained on; 0 where nothing is trained."""
    source_seed: int | None
    """Of the pool, where there are several; else ``None``."""
    key: str
    """Of the selection."""


@dataclass(frozen=True)
class TaskRows:
    """One task of a sweep and its rows."""

    name: str
    """Full name."""
    role: str
    """``"source"``, ``"target"`` or ``"source and target"``."""
    problem_type: str | None
    labels: int | None
    """How many classes it has; ``None`` where that is not known."""
    metric: str | None
    """The leading one."""
    train: int | None
    """Rows of its train split, as the data has them."""
    validation: int | None
    test: int | None
    digest: str | None
    """sha256 of its content."""


@dataclass(frozen=True)
class Background:
    """What a reader asks of a sweep beside its numbers."""

    sweep: str
    key: str
    state: str
    submitted: str
    """First submit, ISO 8601 in UTC."""
    updated: str
    """Last change of its state, likewise."""
    backbone: str
    """As the spec names it."""
    backbone_digest: str | None
    backbone_shape: str
    """In words; empty where it is not known."""
    pool: tuple[str, ...]
    """Sources in the order of the spec."""
    adapter: str
    """Method of the pool's adapters."""
    seeds: tuple[int, ...]
    """Of the final runs."""
    limits: str
    """Which rows were used where not all were; empty: all."""
    search: str
    """How long a study was to search where its time was limited, and how many trials came of it; empty: it was not."""
    tasks: tuple[TaskRows, ...]
    versions: tuple[str, ...]
    """The code, libraries and devices that made its results, each combination once."""
    spec: str
    """The resolved spec, as JSON text."""


@dataclass(frozen=True)
class Summary:
    """All results of one sweep."""

    sweep: str
    key: str
    state: str
    cells: tuple[Cell, ...]
    influences: tuple[Influence, ...] = ()
    layers: tuple[LayerInfluence, ...] = field(default=(), repr=False)
    searches: tuple[Search, ...] = field(default=(), repr=False)
    backbone_parameters: int | None = None
    """Parameters of the encoder, embeddings and pooler included; ``None`` if it is not at hand."""
    step_seconds: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Computing of each complete step by its key, a pass's time divided by the lanes that shared it."""
    study_keys: frozenset[str] = field(default=frozenset(), repr=False)
    """Which of these steps are searches."""
    search_spans: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """When trials were open: begin and end in seconds since 1970, in order and apart."""
    background: tuple[Background, ...] = field(default=(), repr=False)
    """One a sweep."""
    pool_searches: tuple[PoolSearch, ...] = ()
    """One a sweep whose ``[source]`` or ``[adapter.settings]`` is searched."""
    selections: tuple[SelectedSources, ...] = ()
    """Where sources were selected: what each rule measured, by target."""

    @property
    def device_seconds(self) -> float | None:
        """Computing of all steps, each counted once; ``None`` where none is known."""
        return sum(self.step_seconds.values()) if self.step_seconds else None

    @property
    def search_seconds(self) -> float | None:
        """Computing of all searches, likewise."""
        known = [value for key, value in self.step_seconds.items() if key in self.study_keys]
        return sum(known) if known else None

    @property
    def search_clock_seconds(self) -> float | None:
        """Time by the clock in which any search had a trial open; ``None`` where that is not known."""
        return sum(end - start for start, end in self.search_spans) if self.search_spans else None

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Targets in the order of the spec."""
        return tuple(dict.fromkeys(cell.target for cell in self.cells))

    @cached_property
    def combiners(self) -> tuple[str, ...]:
        """Rows in the order of the spec, the baselines first."""
        return tuple(dict.fromkeys(cell.combiner for cell in self.cells))

    def cell(self, target: str, combiner: str) -> Cell | None:
        """Return one cell, if it is there."""
        return next((one for one in self.cells if (one.target, one.combiner) == (target, combiner)), None)

    def metric(self, target: str) -> str:
        """Return a target's leading metric; empty if nothing is known of it yet."""
        return next((cell.metric for cell in self.cells if cell.target == target and cell.metric), "")

    def row(self, combiner: str) -> tuple[Cell | None, ...]:
        """Return a row's cells in the order of the targets."""
        return tuple(self.cell(target, combiner) for target in self.targets)

    def average(self, combiner: str) -> Average:
        """Return a row's average over all targets."""
        cells = self.row(combiner)
        known = [cell for cell in cells if cell is not None]
        means = [cell.mean for cell in known if cell.mean is not None]
        shared = (
            set.intersection(*(set(cell.by_seed) for cell in known)) if len(known) == len(cells) else set()
        )
        by_seed = {seed: fmean(cell.by_seed[seed] for cell in known) for seed in sorted(shared)}
        whole = len(known) == len(cells) and all(cell.is_whole for cell in known)
        return Average(
            mean=fmean(means) if means and len(means) == len(cells) else None,
            std=stdev(by_seed.values()) if len(by_seed) > 1 else None,
            by_seed=by_seed,
            is_whole=whole,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON-able mapping, with means, deviations and averages."""
        cells = [
            {
                **asdict(cell),
                "mean": cell.mean,
                "std": cell.std,
                "variance": None if (parts := cell.components) is None else asdict(parts),
            }
            for cell in self.cells
        ]
        averages = [
            {"combiner": row, **asdict(self.average(row))} for row in self.combiners if len(self.targets) > 1
        ]
        return {
            "sweep": self.sweep,
            "key": self.key,
            "state": self.state,
            "backbone_parameters": self.backbone_parameters,
            "cells": cells,
            "averages": averages,
            "influences": [asdict(one) for one in self.influences],
            "device_seconds": self.device_seconds,
            "search_seconds": self.search_seconds,
            "search_clock_seconds": self.search_clock_seconds,
            "pool_searches": [asdict(one) for one in self.pool_searches],
            "selections": [asdict(one) for one in self.selections],
            "sweeps": [asdict(one) for one in self.background],
        }


def together(summaries: Sequence[Summary]) -> Summary:
    """Return several sweeps' results as one, each row named ``SWEEP: ROW``; one sweep's as they are.

    Where two sweeps have one name, a changed spec's for example, the key's first digits tell them apart.

    Args:
        summaries: At least one, no sweep twice.
    """
    if len(summaries) == 1:
        return summaries[0]
    sizes = {one.backbone_parameters for one in summaries}

    unique = len({one.sweep for one in summaries}) == len(summaries)

    def named(summary: Summary, kept: tuple[Any, ...]) -> Iterator[Any]:
        name = summary.sweep if unique else f"{summary.sweep} {summary.key[:8]}"
        return (replace(item, combiner=f"{name}: {item.combiner}") for item in kept)

    return Summary(
        sweep=", ".join(one.sweep for one in summaries),
        key=", ".join(one.key for one in summaries),
        state=", ".join(dict.fromkeys(one.state for one in summaries)),
        cells=tuple(cell for one in summaries for cell in named(one, one.cells)),
        influences=tuple(item for one in summaries for item in named(one, one.influences)),
        layers=tuple(item for one in summaries for item in named(one, one.layers)),
        searches=tuple(item for one in summaries for item in named(one, one.searches)),
        backbone_parameters=sizes.pop() if len(sizes) == 1 else None,
        step_seconds={key: value for one in summaries for key, value in one.step_seconds.items()},
        study_keys=frozenset(key for one in summaries for key in one.study_keys),
        search_spans=joined_spans(span for one in summaries for span in one.search_spans),
        background=tuple(item for one in summaries for item in one.background),
        pool_searches=tuple(item for one in summaries for item in one.pool_searches),
        selections=tuple({item.key: item for one in summaries for item in one.selections}.values()),
    )


def short_names(tasks: Iterable[str]) -> dict[str, str]:
    """Return task names without their benchmark where that tells them apart, whole names elsewhere."""
    names = list(dict.fromkeys(tasks))
    ends = Counter(name.rsplit("/", 1)[-1] for name in names)
    return {name: name if ends[name.rsplit("/", 1)[-1]] > 1 else name.rsplit("/", 1)[-1] for name in names}


def ranked(values: Sequence[float | None], digits: int = 1) -> list[int | None]:
    """Return places from 1 (greatest); ``None`` for what has no value. Equal as shown is equal in place.

    Args:
        values: Metrics in [-1, 1]; all known metrics are better when greater.
        digits: Decimals shown of the per cent.
    """
    shown = [None if value is None else round(100 * value, digits) for value in values]
    order = sorted({value for value in shown if value is not None}, reverse=True)
    return [None if value is None else 1 + order.index(value) for value in shown]
