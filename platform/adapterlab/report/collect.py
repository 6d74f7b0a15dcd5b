"""Read a sweep's results from the catalog: while it runs, and long after, on any machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from adapterlab.catalog.records import (
    AdapterRecord,
    StepStatus,
    StudyRecord,
    SweepRecord,
    SweepStep,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.data.backbone import backbone_facts
from adapterlab.data.size import backbone_parameters
from adapterlab.errors import AdapterlabError, NotFoundError
from adapterlab.records import StepKind
from adapterlab.registry.entry_points import task_definition
from adapterlab.report.summary import OWN_ADAPTER, Cell, Gap, Influence, LayerInfluence, Summary
from adapterlab.spec.model import BackboneSpec

_SEPARATOR = " · "
_SEED = re.compile(r"seed (\d+)$")


def summarise(catalog: Catalog, sweep: SweepRecord, *, cache: Path) -> Summary:
    """Return the results a sweep has so far.

    Args:
        catalog: The open catalog.
        sweep: With its steps.
        cache: Folder of this machine's caches.
    """
    found = _Found(catalog, sweep)
    finals = {step.key: found.transfers(step) for step in found.of_kind(StepKind.STUDY)}
    cells = [*_baselines(found), *(_combined(found, step) for step in found.of_kind(StepKind.STUDY))]
    transfers = [one for of_study in finals.values() for one in of_study]
    layers = tuple(_layers(catalog, transfers))
    return Summary(
        sweep=sweep.name,
        key=sweep.key,
        state=str(sweep.state),
        cells=tuple(cells),
        influences=tuple(_influences(layers)),
        layers=layers,
        backbone_parameters=_backbone_parameters(found.spec, cache),
    )


def _backbone_parameters(spec: Mapping[str, Any], cache: Path) -> int | None:
    """Return the size of the backbone a resolved spec names, if it is on this machine."""
    try:
        backbone = BackboneSpec.model_validate(spec["backbone"])
        facts = backbone_facts(backbone, folder=Path.cwd(), cache=cache, download=False)
        return None if facts.folder is None else backbone_parameters(Path(facts.folder))
    except (AdapterlabError, OSError, ValueError, KeyError, TypeError):
        return None  # a report is for any machine, also one that never had the backbone


class _Found:
    """A sweep's steps, with what the catalog has of each."""

    def __init__(self, catalog: Catalog, sweep: SweepRecord) -> None:
        self._sweep = sweep
        self._statuses: dict[str, StepStatus] = catalog.status(
            [step.key for step in sweep.steps if step.key is not None]
        )
        finders = {
            StepKind.SOURCE: catalog.find_adapter,
            StepKind.STUDY: catalog.find_study,
            StepKind.TRANSFER: catalog.find_transfer,
        }
        self._records: dict[str, Any] = {
            step.key: finders[step.kind](step.key) for step in sweep.steps if step.key is not None
        }
        self.spec = _parsed(sweep.spec)
        """The resolved spec; empty if it is not known."""
        studied = [step for step in sweep.steps if step.kind is StepKind.STUDY]
        self.targets: tuple[str, ...] = tuple(self.spec.get("targets", {}).get("tasks", ())) or tuple(
            dict.fromkeys(record.task for record in map(self.record, studied) if record is not None)
        )
        """Full names of the target tasks."""

    def of_kind(self, kind: StepKind) -> list[SweepStep]:
        """Return steps in the order of the plan."""
        return [step for step in self._sweep.steps if step.kind is kind]

    def record(self, step: SweepStep) -> Any:
        """Return a step's result; ``None`` while it has none."""
        return self._records.get(step.key or "")

    def finals(self, study: SweepStep) -> list[SweepStep]:
        """Return the final runs of a study."""
        return [step for step in self.of_kind(StepKind.TRANSFER) if study.title in step.needs]

    def transfers(self, study: SweepStep) -> list[TransferRecord]:
        """Return the complete final runs of a study, by seed."""
        records = [record for record in map(self.record, self.finals(study)) if record is not None]
        return sorted(records, key=lambda one: int(one.seed))

    def gap(self, step: SweepStep) -> Gap:
        """Return why a step has no result."""
        seed = _SEED.search(step.title)
        status = self._statuses.get(step.key or "")
        return Gap(
            seed=int(seed[1]) if seed else None,
            state=str(status.state) if status else "pending",
            reason=status.reason if status else "its inputs were not at hand",
        )

    def task_of_source(self, step: SweepStep) -> str:
        """Return the full name of a source step's task, if it is a target; else as it is shown."""
        adapter: AdapterRecord | None = self.record(step)
        if adapter is not None:
            return adapter.task
        parts = step.title.split(_SEPARATOR)
        return self.task_named(parts[1]) if len(parts) > 1 else step.title

    def task_named(self, shown: str) -> str:
        """Return the full name of a task as a step's title shows it."""
        fitting = [task for task in self.targets if task == shown or task.rsplit("/", 1)[-1] == shown]
        return fitting[0] if len(fitting) == 1 else shown


def _parsed(spec: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(spec)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


# -- cells ------------------------------------------------------------------------------------------


def _combined(found: _Found, step: SweepStep) -> Cell:
    """Return the cell of a study, complete or not."""
    study: StudyRecord | None = found.record(step)
    shown, _, kind = step.title.rpartition(_SEPARATOR)
    task = found.task_named(shown) if study is None else study.task
    steps = found.finals(step)
    runs = found.transfers(step)
    done = {one.key for one in runs}
    gaps = [found.gap(one) for one in steps if one.key not in done]
    if study is None:
        own = found.gap(step)
        gaps = [Gap(gap.seed, own.state, own.reason) for gap in gaps] or [own]
    return Cell(
        target=task,
        combiner=kind if shown or study is None else study.combiner,
        metric=_metric_of(task) if study is None else study.metric,
        test=tuple(one.test_value for one in runs),
        validation=tuple(one.validation_value for one in runs),
        seeds=tuple(one.seed for one in runs),
        expected_seeds=len(steps),
        parameters=_greatest(one.n_parameters for one in runs),
        settings={} if study is None else dict(study.best_settings),
        seconds=sum(one.seconds or 0.0 for one in runs) if runs else None,
        head_parameters=_greatest(one.head_parameters for one in runs),
        search_seconds=None if study is None else study.seconds,
        gaps=tuple(gaps),
    )


def _baselines(found: _Found) -> Iterable[Cell]:
    """Return one cell a target: its own source adapter, where the pool has one."""
    for step in found.of_kind(StepKind.SOURCE):
        task = found.task_of_source(step)
        if task in found.targets:
            yield _baseline(found, OWN_ADAPTER, task, [step])


def _baseline(found: _Found, name: str, task: str, steps: Sequence[SweepStep]) -> Cell:
    records = [found.record(step) for step in steps]
    adapters = [record for record in records if record is not None]
    gaps = [found.gap(step) for step, record in zip(steps, records, strict=True) if record is None]
    return baseline_cell(name, task, adapters, gaps)


def baseline_cell(name: str, task: str, adapters: Sequence[AdapterRecord], gaps: Sequence[Gap]) -> Cell:
    """Return the cell of a baseline: adapters of one method on one target, by seed.

    Args:
        name: The row.
        task: Full name of the target.
        adapters: Complete ones.
        gaps: Seeds without an adapter.
    """
    runs = sorted(adapters, key=lambda one: one.seed)
    metric = runs[0].metric if runs else _metric_of(task)
    return Cell(
        target=task,
        combiner=name,
        metric=metric,
        test=tuple(one.test.get(one.metric, float("nan")) for one in runs),
        validation=tuple(one.metric_value for one in runs),
        seeds=tuple(one.seed for one in runs),
        expected_seeds=len(runs) + len(gaps),
        parameters=_greatest(one.n_parameters for one in runs),
        settings={},
        seconds=sum(one.seconds or 0.0 for one in runs) if runs else None,
        is_baseline=True,
        head_parameters=_greatest(one.head_parameters for one in runs),
        gaps=tuple(gaps),
    )


def _metric_of(task: str) -> str:
    try:
        return task_definition(task).metrics[0]
    except NotFoundError:
        return ""


def _greatest(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


# -- coefficients -----------------------------------------------------------------------------------


def _layers(catalog: Catalog, transfers: Iterable[TransferRecord]) -> Iterable[LayerInfluence]:
    for transfer in transfers:
        for one in catalog.coefficients(transfer.key):
            yield LayerInfluence(
                target=transfer.task,
                combiner=transfer.combiner,
                seed=transfer.seed,
                layer=one.layer,
                source=one.source_task,
                position=one.position,
                mean=one.mean,
                std=one.std,
                minimum=one.minimum,
                maximum=one.maximum,
                is_vector=transfer.coefficient_shape[2] > 1,
            )


def _influences(layers: Iterable[LayerInfluence]) -> Iterable[Influence]:
    values: dict[tuple[str, str, str], list[float]] = {}
    for one in layers:
        values.setdefault((one.target, one.combiner, one.source), []).append(one.mean)
    for (target, combiner, source), means in values.items():
        yield Influence(target, combiner, source, fmean(means))
