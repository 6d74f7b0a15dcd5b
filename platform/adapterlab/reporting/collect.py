"""Read a sweep's results from the catalog: while it runs, and long after, on any machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from adapterlab.backbones.facts import backbone_facts
from adapterlab.backbones.parameters import backbone_parameters
from adapterlab.catalog.presence import is_missing
from adapterlab.catalog.records import (
    AdapterRecord,
    JointRecord,
    SelectionRecord,
    StepStatus,
    StudyRecord,
    SweepRecord,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError, NotFoundError
from adapterlab.planning.baselines import POOL, BaselineRow, baseline_rows
from adapterlab.planning.steps import StepId
from adapterlab.planning.variants import RowDimensions, dimensions_of_rows, variants_of
from adapterlab.records import StepKind
from adapterlab.registry.entry_points import combiner, task_definition
from adapterlab.reporting import older_sweeps
from adapterlab.reporting.background import background
from adapterlab.reporting.summary import (
    OWN_ADAPTER,
    Cell,
    Gap,
    Influence,
    LayerInfluence,
    PoolSearch,
    Search,
    SelectedSources,
    Summary,
)
from adapterlab.search.separation import Separation, separation
from adapterlab.search.spans import joined_spans
from adapterlab.spec.model import BackboneSpec, Spec
from adapterlab.spec.selection import selection_words


def summarise(catalog: Catalog, sweep: SweepRecord, *, cache: Path, studies: str | None = None) -> Summary:
    """Return the results a sweep has so far.

    Args:
        catalog: The open catalog.
        sweep: With its steps.
        cache: Folder of this machine's caches.
        studies: Database of the studies, for the time that searches took by the clock; absent: it is not told.
    """
    found = _Found(catalog, sweep, studies)
    of_targets, of_methods = found.combinations, found.method_searches
    rows: dict[tuple[str, str], list[_Step]] = {}
    for step in of_targets:
        rows.setdefault((step.id.task, str(step.id.label)), []).append(step)
    cells = [*_baselines(found), *(_combined(found, steps) for steps in rows.values())]
    layers = tuple(one for step in of_targets for one in _layers(catalog, found, step))
    # What tasks have of a joint run says of it what a table does; its seconds are divided among them.
    records = {
        step.key: step.record
        for step in found.steps
        if step.key and step.record is not None and not isinstance(step.record, JointRecord)
    }
    return Summary(
        sweep=sweep.name,
        key=sweep.key,
        state=str(sweep.state),
        cells=tuple(cells),
        influences=tuple(_influences(layers)),
        layers=layers,
        searches=tuple(_searches([*of_methods, *of_targets])),
        backbone_parameters=_backbone_parameters(found.spec, cache),
        step_seconds={key: one.seconds for key, one in records.items() if one.seconds is not None},
        study_keys=frozenset(step.key for step in found.of_kind(StepKind.STUDY) if step.key),
        search_spans=joined_spans(span for spans in found.spans.values() for span in spans),
        background=(background(catalog, sweep, found.spec, list(records.values())),),
        pool_searches=tuple(_pool_search(found)),
        selections=tuple(_selections(found)),
    )


def _backbone_parameters(spec: Mapping[str, Any], cache: Path) -> int | None:
    """Return the size of the backbone a resolved spec names, if it is on this machine."""
    try:
        backbone = BackboneSpec.model_validate(spec["backbone"])
        facts = backbone_facts(backbone, folder=Path.cwd(), cache=cache, download=False)
        return None if facts.folder is None else backbone_parameters(Path(facts.folder))
    except (AdapterlabError, OSError, ValueError, KeyError, TypeError):
        return None  # a report is for any machine, also one that never had the backbone


@dataclass(frozen=True)
class _Step:
    """One step of the sweep, with what the catalog has of it."""

    id: StepId
    key: str | None
    needs: tuple[StepId, ...]
    status: StepStatus | None
    """``None`` while its key is not known."""
    record: Any
    """Its result; ``None`` while it has none."""

    @property
    def gap(self) -> Gap:
        """Why it has no result."""
        return Gap(
            seed=self.id.seed,
            state=str(self.status.state) if self.status else "pending",
            reason=self.status.reason if self.status else "its inputs were not at hand",
            source_seed=self.id.source_seed,
        )


class _Found:
    """A sweep's steps, with what the catalog has of each."""

    def __init__(self, catalog: Catalog, sweep: SweepRecord, studies: str | None) -> None:
        self._catalog, self._sweep = catalog, sweep.key
        keys = [step.key for step in sweep.steps if step.key is not None]
        statuses = catalog.status(keys)
        records: dict[str, Any] = {
            step.key: catalog.find_result(step.kind, step.key) for step in sweep.steps if step.key is not None
        }
        self.spec = _parsed(sweep.spec)
        """The resolved spec; empty if it is not known."""
        parsed = _spec_of(sweep.spec)
        self.rows: Sequence[BaselineRow] = [] if parsed is None else baseline_rows(parsed)
        """Of the baselines that the spec declares."""
        self.dimensions = {} if parsed is None else dimensions_of_rows(parsed)
        """What sets each row apart; empty if that is not known."""
        self.is_known = parsed is not None
        """Whether its rows are known from the spec."""
        self.own_adapters = (
            {None: OWN_ADAPTER}
            if parsed is None
            else {one.few_rows: OWN_ADAPTER + one.mark for one in variants_of(parsed)}
        )
        """Rows of the targets' own adapters in sweeps without baselines, by the number of rows they train on."""
        named = tuple(self.spec.get("targets", {}).get("tasks", ()))
        identify = _identified(sweep, named, records)
        self.steps = [
            _Step(
                identify[step.id or step.title],
                step.key,
                tuple(identify[need] for need in step.needs if need in identify),
                statuses.get(step.key or ""),
                records.get(step.key or ""),
            )
            for step in sweep.steps
        ]
        self._parameters = {
            key: one.n_parameters for key, one in records.items() if isinstance(one, AdapterRecord)
        }
        self.targets: tuple[str, ...] = named or tuple(
            dict.fromkeys(study.id.task for study in self.combinations)
        )
        """Full names of the target tasks."""
        self.separations = _separations(studies, self._complete_studies(), self.spec)
        """How far the best trials of each complete study lie apart, by its key; empty where that is not known."""
        self.spans = _spans(studies, self._complete_studies())
        """When the trials of each complete study were open, by its key; empty where that is not known."""

    def _complete_studies(self) -> list[StudyRecord]:
        return [one.record for one in self.of_kind(StepKind.STUDY) if one.record]

    def few_rows(self, row: str) -> int | None:
        """Return on how many rows of each target a row trains; ``None``: on all."""
        if row in self.dimensions:
            return self.dimensions[row].few_shot
        return next((rows for rows, name in self.own_adapters.items() if name == row), None)

    def sources(self, study: StudyRecord) -> dict[str, int | None]:
        """Return the trained parameters of the adapters that a study combines, by key; ``None`` where not known."""
        return {one.key: self._parameters.get(one.key) for one in study.pool}

    def of_kind(self, kind: StepKind) -> list[_Step]:
        """Return steps in the order of the plan."""
        return [step for step in self.steps if step.id.kind is kind]

    @property
    def method_searches(self) -> list[_Step]:
        """The studies that choose how adapters are trained, in the order of the plan."""
        trained = [*self.of_kind(StepKind.SOURCE), *self.of_kind(StepKind.JOINT)]
        chosen = {need for step in trained for need in step.needs}
        return [step for step in self.of_kind(StepKind.STUDY) if step.id in chosen]

    @property
    def combinations(self) -> list[_Step]:
        """The studies of combiners, in the order of the plan."""
        others = {step.id for step in self.method_searches}
        return [step for step in self.of_kind(StepKind.STUDY) if step.id not in others]

    def chooser(self, adapters: Sequence[_Step]) -> _Step | None:
        """Return the study that chose how some adapters are trained; ``None``: none did."""
        needs = {need for step in adapters for need in step.needs}
        # What tasks have of a joint run needs the run, and that its study.
        needs |= {need for run in self.of_kind(StepKind.JOINT) if run.id in needs for need in run.needs}
        return next((step for step in self.method_searches if step.id in needs), None)

    def finals(self, study: _Step) -> list[_Step]:
        """Return the final runs of a study."""
        return [step for step in self.of_kind(StepKind.TRANSFER) if study.id in step.needs]

    def transfers(self, study: _Step) -> list[TransferRecord]:
        """Return the complete final runs of a study, by seed."""
        records = [step.record for step in self.finals(study) if step.record is not None]
        return sorted(records, key=lambda one: int(one.seed))

    def run_ids(self, results: Iterable[AdapterRecord | TransferRecord]) -> tuple[str | None, ...]:
        """Return results' MLflow runs by seed: those that made them, else, where that was not noted, this sweep's."""
        by_seed = sorted(results, key=lambda one: one.seed)
        return tuple(one.run_id or self._catalog.run_id(f"{self._sweep}/{one.key}") for one in by_seed)


def _trials_of(studies: Sequence[StudyRecord]) -> dict[str, int]:
    """Return how many trials count of each study in the storage."""
    counts: dict[str, int] = {}
    for one in studies:
        if one.study_name is not None:
            counts[one.study_name] = max(counts.get(one.study_name, 0), sum(one.trials.values()))
    return counts


def _separations(
    storage: str | None, studies: Sequence[StudyRecord], spec: Mapping[str, Any]
) -> dict[str, Separation]:
    """Return how far the best trials of studies lie apart whose trials had several runs."""
    search = spec.get("search", {})
    seeds, folds = (search.get(name) or 1 for name in ("seeds_per_trial", "folds"))
    if storage is None or seeds * folds < 2 or is_missing(storage):
        return {}
    from adapterlab.search.run_values import run_values

    try:
        found = run_values(storage, _trials_of(studies))
    except AdapterlabError:
        return {}  # as with their times
    known: dict[str, Separation] = {}
    for one in studies:
        if one.tasks and one.metric == "loss":
            continue  # which says of metrics how far they lie apart
        count = sum(one.trials.values())
        values = {at: runs for at, runs in found.get(one.study_name or "", {}).items() if at < count}
        if (apart := separation(values, folds)) is not None:
            known[one.key] = apart
    return known


def _spans(storage: str | None, studies: Sequence[StudyRecord]) -> dict[str, Sequence[tuple[float, float]]]:
    """Return the spans of time in which each study had a trial open."""
    counts = _trials_of(studies)
    if storage is None or not counts or is_missing(storage):
        return {}
    from adapterlab.search.clocks import trial_spans

    try:
        found = trial_spans(storage, counts)
    except AdapterlabError:
        return {}  # a report is for any machine, also one that does not see the studies
    return {one.key: joined_spans(found.get(one.study_name or "", ())) for one in studies}


def _identified(sweep: SweepRecord, targets: Sequence[str], records: Mapping[str, Any]) -> dict[str, StepId]:
    """Return the steps' identities by what ties them in the catalog: their texts, or titles of old."""
    known = {step.id: StepId.parse(step.id) for step in sweep.steps if step.id is not None}
    old = [step for step in sweep.steps if step.id is None]
    if not old:
        return known
    tasks = {key: record.task for key, record in records.items() if record is not None}
    return {**known, **older_sweeps.identities(old, sweep.spec, targets, tasks)}


def _parsed(spec: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(spec)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


# -- cells ------------------------------------------------------------------------------------------


def _searches(studies: Iterable[_Step]) -> Iterator[Search]:
    """Yield the finished searches of a sweep; those of one trial searched nothing."""
    for step in studies:
        study: StudyRecord | None = step.record
        trials = 0 if study is None else sum(study.trials.values())
        if study is not None and study.study_name is not None and trials > 1:
            label = str(step.id.label)
            target = study.task or f"{len(study.tasks)} tasks"
            yield Search(target, label, study.key, study.study_name, study.metric, trials)


def _pool_search(found: _Found) -> Iterator[PoolSearch]:
    """Yield what searching the pool's settings cost, if that was done."""
    steps = [step for step in found.method_searches if step.id.label == POOL]
    studies: list[StudyRecord] = [step.record for step in steps if step.record is not None]
    if not studies:
        return
    seconds = [one.seconds for one in studies if one.seconds is not None]
    rows = [one.train_rows for one in studies if one.train_rows is not None]
    yield PoolSearch(
        searches=len(studies),
        trials=sum(sum(one.trials.values()) for one in studies),
        seconds=sum(seconds) if len(seconds) == len(studies) else None,
        clock_seconds=_clock(joined_spans(span for one in studies for span in found.spans.get(one.key, ()))),
        train_rows=sum(rows) if len(rows) == len(studies) else None,
    )


def _search_cost(found: _Found, studies: Sequence[_Step]) -> dict[str, Any]:
    """Return what a cell says of the search that chose its setting, or of those over each of its pools together."""
    known: list[StudyRecord] = [step.record for step in studies if step.record is not None]
    if not known:
        return {"study_key": studies[0].key}
    spans = (span for step in studies for span in found.spans.get(step.key or "", ()))
    # The search of a joint run is for all of its tasks, and so is divided among them, as the run is.
    tasks = len(known[0].tasks) or 1
    clock, rows = _clock(joined_spans(spans)), _sum(one.train_rows for one in known)
    seconds = _sum(one.seconds for one in known)
    return {
        "settings": _settings(known),
        "search_seconds": None if seconds is None else seconds / tasks,
        "search_clock_seconds": None if clock is None else clock / tasks,
        "search_trials": sum(sum(one.trials.values()) for one in known),
        "search_train_rows": None if rows is None else round(rows / tasks),
        # Of several searches each could tell something else apart.
        "separation": found.separations.get(studies[0].key or "") if len(studies) == 1 else None,
        "study_key": studies[0].key,
    }


def _combined(found: _Found, studies: Sequence[_Step]) -> Cell:
    """Return the cell of a combiner on a target, complete or not: of its study, or of one for each pool."""
    known: list[StudyRecord] = [step.record for step in studies if step.record is not None]
    label = str(studies[0].id.label)
    runs = [(run, _pool_seed(found, step)) for step in studies for run in found.transfers(step)]
    records = [run for run, _ in runs]
    sized = found.dimensions.get(label, RowDimensions())
    return Cell(
        target=known[0].task if known else studies[0].id.task,
        combiner=label,
        metric=known[0].metric if known else _metric_of(studies[0].id.task),
        test=tuple(one.test_value for one in records),
        validation=tuple(one.validation_value for one in records),
        seeds=tuple(one.seed for one in records),
        expected_seeds=sum(len(found.finals(step)) for step in studies),
        parameters=_greatest(one.n_parameters for one in records),
        seconds_a_run=_mean_seconds(records),
        head_parameters=_greatest(one.head_parameters for one in records),
        gaps=tuple(gap for step in studies for gap in _gaps(found, step)),
        keys=tuple(one.key for one in records),
        run_ids=tuple(one for step in studies for one in found.run_ids(found.transfers(step))),
        source_seeds=tuple(seed for _, seed in runs if seed is not None),
        few_shot=sized.few_shot,
        pool_size=len(known[0].pool) if known else sized.pool_size,
        method=sized.method or label,
        coordinates=_coordinates(known[0]) if known else {},
        sources={key: count for study in known for key, count in found.sources(study).items()},
        **{"settings": {}, **_search_cost(found, studies)},
    )


def _series(found: _Found, row: str) -> str:
    """Return a baseline's row without the number of rows it trains on."""
    own = OWN_ADAPTER if row in found.own_adapters.values() else row
    return found.dimensions.get(row, RowDimensions()).method or own


def _pool_seed(found: _Found, study: _Step) -> int | None:
    """Return the seed of a study's source adapters; ``None`` where that is not known."""
    if study.id.source_seed is not None:
        return study.id.source_seed
    return found.dimensions.get(str(study.id.label), RowDimensions()).source_seed


def _gaps(found: _Found, study: _Step) -> list[Gap]:
    """Return a study's final runs without a value, of a study that is not there with its own state."""
    gaps = [one.gap for one in found.finals(study) if one.record is None]
    if study.record is not None:
        return gaps
    own = study.gap
    return [replace(gap, state=own.state, reason=own.reason) for gap in gaps] or [own]


def _settings(studies: Sequence[StudyRecord]) -> dict[str, Any]:
    """Return the chosen setting; of several pools, a list of each one's choices where these differ."""
    chosen = [dict(one.best_settings) for one in studies]
    names = dict.fromkeys(name for one in chosen for name in one)
    found: dict[str, Any] = {}
    for name in names:
        values = [one.get(name) for one in chosen]
        found[name] = values[0] if all(value == values[0] for value in values) else values
    return found


def _selections(found: _Found) -> Iterator[SelectedSources]:
    """Yield the selections that are complete, in the order of the plan."""
    for step in found.of_kind(StepKind.SELECTION):
        record: SelectionRecord | None = step.record
        if record is not None:
            yield SelectedSources(
                target=record.task,
                rule=selection_words(str(step.id.label), record.rule),
                metric=record.metric,
                sources=tuple((one.label, one.score) for one in record.sources),
                seconds=record.seconds,
                train_rows=record.train_rows,
                source_seed=step.id.source_seed,
                key=record.key,
            )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _coordinates(study: StudyRecord) -> Mapping[str, float]:
    try:
        plugin = combiner(study.combiner)
        return plugin.coordinates(plugin.settings.model_validate(study.settings))
    except (AdapterlabError, ValueError):
        return {}  # a plug-in that is gone, or settings of another version


def _clock(spans: Sequence[tuple[float, float]]) -> float | None:
    return sum(end - start for start, end in spans) if spans else None


def _baselines(found: _Found) -> Iterable[Cell]:
    """Return one cell a target and baseline or joint run; of a sweep without any, the targets' own source adapters."""
    declared = found.rows
    sources = found.of_kind(StepKind.SOURCE)
    steps = {step.id: step for step in sources}
    for row in declared:
        yield _baseline(
            found, row.label, row.target, [steps[one] for one in row.steps.values() if one in steps]
        )
    if declared:
        return
    for rows, name in found.own_adapters.items():
        for task in dict.fromkeys(step.id.task for step in sources):
            own = [step for step in sources if step.id.task == task]
            if found.is_known:  # else few rows may be all there are
                own = [step for step in own if step.id.rows == rows]
            if own and task in found.targets:
                yield _baseline(found, name, task, own)


def _spec_of(text: str) -> Spec | None:
    """Return a resolved spec whose rows can be named; ``None`` for others."""
    try:
        spec = Spec.model_validate_json(text)
        baseline_rows(spec), dimensions_of_rows(spec)
    except (AdapterlabError, ValueError):  # a plug-in that is gone, or a spec of another version
        return None
    return spec


def _baseline(found: _Found, name: str, task: str, steps: Sequence[_Step]) -> Cell:
    adapters = [step.record for step in steps if step.record is not None]
    gaps = [step.gap for step in steps if step.record is None]
    chooser = found.chooser(steps)
    if chooser is not None and chooser.record is None:  # what is missing is the study
        gaps = [Gap(gap.seed, chooser.gap.state, chooser.gap.reason) for gap in gaps]
    return replace(
        baseline_cell(name, task, adapters, gaps),
        is_own_adapter=any(step.id.label is None for step in steps),
        run_ids=found.run_ids(adapters),
        method=_series(found, name),
        few_shot=found.few_rows(name),
        **({} if chooser is None else _search_cost(found, [chooser])),
    )


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
        seconds_a_run=_mean_seconds(runs),
        is_baseline=True,
        head_parameters=_greatest(one.head_parameters for one in runs),
        gaps=tuple(gaps),
        keys=tuple(one.key for one in runs),
        is_joint=any("joint" in one.settings for one in runs),
    )


def _mean_seconds(runs: Sequence[AdapterRecord | TransferRecord]) -> float | None:
    known = [one.seconds for one in runs if one.seconds is not None]
    return fmean(known) if known else None


def _metric_of(task: str) -> str:
    try:
        return task_definition(task).metrics[0]
    except NotFoundError:
        return ""


def _greatest(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


# -- coefficients -----------------------------------------------------------------------------------


def _layers(catalog: Catalog, found: _Found, study: _Step) -> Iterable[LayerInfluence]:
    names = {} if study.record is None else dict(enumerate(one.name for one in study.record.pool))
    for transfer in found.transfers(study):
        attends = _is_token_dependent(transfer.combiner)
        for one in catalog.coefficients(transfer.key):
            yield LayerInfluence(
                target=transfer.task,
                combiner=str(study.id.label),
                seed=transfer.seed,
                layer=one.layer,
                source=names.get(one.position) or one.source_task,
                position=one.position,
                mean=one.mean,
                std=one.std,
                minimum=one.minimum,
                maximum=one.maximum,
                is_vector=transfer.coefficient_shape[2] > 1,
                is_attention=attends,
                source_seed=study.id.source_seed,
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
