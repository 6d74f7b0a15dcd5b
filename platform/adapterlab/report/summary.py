"""A sweep's results as numbers: one cell for each target and combiner, over seeds.

Read from the catalog alone, so it works while a sweep runs and long after, on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from adapterlab.catalog.records import AdapterRecord, SweepRecord, TransferRecord
from adapterlab.catalog.store import Catalog
from adapterlab.records import StepKind

OWN_ADAPTER = "own adapter"
"""Row of the target's own source adapter (stage 1 alone), the baseline of every combination."""


@dataclass(frozen=True)
class Cell:
    """One combiner on one target."""

    target: str
    """Full task name."""
    combiner: str
    metric: str
    test: tuple[float, ...]
    """The leading metric on test, one value a seed, by seed."""
    validation: tuple[float, ...]
    """The same on validation."""
    seeds: tuple[int, ...]
    expected_seeds: int
    """Final runs the spec asks for."""
    parameters: int | None
    """Trained parameters, head not counted."""
    settings: Mapping[str, float]
    """The chosen setting."""
    seconds: float | None
    """Computing of the final runs."""

    @property
    def mean(self) -> float | None:
        """Mean over seeds on test."""
        return fmean(self.test) if self.test else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds on test; ``None`` for fewer than two."""
        return stdev(self.test) if len(self.test) > 1 else None


@dataclass(frozen=True)
class Influence:
    """How much one source contributes to one target, under one combiner."""

    target: str
    combiner: str
    source: str
    mean: float
    """Mean scaling coefficient over layers, dimensions and seeds."""


@dataclass(frozen=True)
class Summary:
    """All results of one sweep."""

    sweep: str
    key: str
    state: str
    cells: tuple[Cell, ...]
    influences: tuple[Influence, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets in the order of the spec."""
        return tuple(dict.fromkeys(cell.target for cell in self.cells))

    @property
    def combiners(self) -> tuple[str, ...]:
        """Rows in the order of the spec, the baseline first."""
        return tuple(dict.fromkeys(cell.combiner for cell in self.cells))

    def cell(self, target: str, combiner: str) -> Cell | None:
        """Return one cell, if it is there."""
        return next((one for one in self.cells if (one.target, one.combiner) == (target, combiner)), None)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON-able mapping, with means and deviations."""
        cells = [{**asdict(cell), "mean": cell.mean, "std": cell.std} for cell in self.cells]
        return {
            "sweep": self.sweep,
            "key": self.key,
            "state": self.state,
            "cells": cells,
            "influences": [asdict(one) for one in self.influences],
        }


def summarise(catalog: Catalog, sweep: SweepRecord) -> Summary:
    """Return the results a sweep has so far."""
    adapters = _found(catalog.find_adapter(key) for key in _keys(sweep, StepKind.SOURCE))
    studies = {key: catalog.find_study(key) for key in _keys(sweep, StepKind.STUDY)}
    transfers = _found(catalog.find_transfer(key) for key in _keys(sweep, StepKind.TRANSFER))
    finals_each = len(_keys(sweep, StepKind.TRANSFER)) // max(1, len(studies))

    targets = dict.fromkeys(study.task for study in studies.values() if study)
    cells = [_baseline(adapter) for adapter in adapters if adapter.task in targets]
    for key, study in studies.items():
        if study is None:
            continue
        runs = sorted((one for one in transfers if one.study_key == key), key=lambda one: one.seed)
        cells.append(
            Cell(
                target=study.task,
                combiner=study.combiner,
                metric=study.metric,
                test=tuple(one.test_value for one in runs),
                validation=tuple(one.validation_value for one in runs),
                seeds=tuple(one.seed for one in runs),
                expected_seeds=finals_each,
                parameters=runs[0].n_parameters if runs else None,
                settings={name: float(str(value)) for name, value in study.best_settings.items()},
                seconds=sum(one.seconds or 0.0 for one in runs) if runs else None,
            )
        )
    return Summary(
        sweep=sweep.name,
        key=sweep.key,
        state=str(sweep.state),
        cells=tuple(cells),
        influences=tuple(_influences(catalog, transfers)),
    )


def _keys(sweep: SweepRecord, kind: StepKind) -> list[str]:
    return [step.key for step in sweep.steps if step.kind is kind and step.key is not None]


def _found(records: Iterable[Any]) -> list[Any]:
    return [record for record in records if record is not None]


def _baseline(adapter: AdapterRecord) -> Cell:
    value = adapter.test.get(adapter.metric)
    return Cell(
        target=adapter.task,
        combiner=OWN_ADAPTER,
        metric=adapter.metric,
        test=() if value is None else (value,),
        validation=(adapter.metric_value,),
        seeds=(adapter.seed,),
        expected_seeds=1,
        parameters=adapter.n_parameters,
        settings={},
        seconds=adapter.seconds,
    )


def _influences(catalog: Catalog, transfers: Iterable[TransferRecord]) -> Iterable[Influence]:
    values: dict[tuple[str, str, str], list[float]] = {}
    for transfer in transfers:
        for one in catalog.coefficients(transfer.key):
            values.setdefault((transfer.task, transfer.combiner, one.source_task), []).append(one.mean)
    for (target, combiner, source), means in values.items():
        yield Influence(target, combiner, source, fmean(means))
