"""Read a sweep's results from the catalog: while it runs, and long after, on any machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from adapterlab.backbones.facts import backbone_facts
from adapterlab.backbones.parameters import backbone_parameters
from adapterlab.catalog.records import (
    AdapterRecord,
    StepStatus,
    StudyRecord,
    SweepRecord,
    SweepStep,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError, NotFoundError
from adapterlab.planning.baselines import BaselineRow, baseline_rows
from adapterlab.records import StepKind
from adapterlab.registry.entry_points import combiner, task_definition
from adapterlab.reporting.summary import OWN_ADAPTER, Cell, Gap, Influence, LayerInfluence, Summary
from adapterlab.spec.model import BackboneSpec, Spec

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
    studies = found.of_kind(StepKind.STUDY)
    cells = [*_baselines(found), *(_combined(found, step) for step in studies)]
    layers = tuple(one for step in studies for one in _layers(catalog, found, step))
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
        self.spec_text = sweep.spec
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

    def row_of(self, study: SweepStep) -> str:
        """Return a study's row: the combiner as its title says it, with what sets it apart from others."""
        shown, _, label = study.title.rpartition(_SEPARATOR)
        record: StudyRecord | None = self.record(study)
        return label if shown or record is None else record.combiner

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
    shown, _, _ = step.title.rpartition(_SEPARATOR)
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
        combiner=found.row_of(step),
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
    """Return one cell a target and baseline; of a sweep without any, the targets' own source adapters."""
    declared = _declared_baselines(found.spec_text)
    steps = {step.title: step for step in found.of_kind(StepKind.SOURCE)}
    for row in declared:
        yield _baseline(
            found, row.label, row.target, [steps[title] for title in row.steps.values() if title in steps]
        )
    if declared:
        return
    own: dict[str, list[SweepStep]] = {}
    for step in steps.values():
        own.setdefault(found.task_of_source(step), []).append(step)
    for task, trained in own.items():
        if task in found.targets:
            yield _baseline(found, OWN_ADAPTER, task, trained)


def _declared_baselines(spec: str) -> Sequence[BaselineRow]:
    try:
        return baseline_rows(Spec.model_validate_json(spec))
    except (AdapterlabError, ValueError):  # a plug-in that is gone, or a spec of another version
        return ()


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


def _layers(catalog: Catalog, found: _Found, study: SweepStep) -> Iterable[LayerInfluence]:
    for transfer in found.transfers(study):
        attends = _is_token_dependent(transfer.combiner)
        for one in catalog.coefficients(transfer.key):
            yield LayerInfluence(
                target=transfer.task,
                combiner=found.row_of(study),
                seed=transfer.seed,
                layer=one.layer,
                source=one.source_task,
                position=one.position,
                mean=one.mean,
                std=one.std,
                minimum=one.minimum,
                maximum=one.maximum,
                is_vector=transfer.coefficient_shape[2] > 1,
                is_attention=attends,
            )


def _is_token_dependent(name: str) -> bool:
    try:
        return bool(combiner(name).token_dependent)
    except NotFoundError:
        return False  # a plug-in that is gone


def _influences(layers: Iterable[LayerInfluence]) -> Iterable[Influence]:
    values: dict[tuple[str, str, str], list[float]] = {}
    for one in layers:
        values.setdefault((one.target, one.combiner, one.source), []).append(one.mean)
    for (target, row, source), means in values.items():
        yield Influence(target, row, source, fmean(means))
