"""What MLflow shows of a sweep when it ends: a run for each target × method, averages, report, views and note.

Everything is of the same definition as the report's, see ``summary``. What is there is written again without harm:
a sweep that goes on after some of it failed replaces what it said of fewer seeds.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from adapterlab.caching.leftovers import scratch_folder
from adapterlab.catalog.records import SweepRecord
from adapterlab.catalog.store import Catalog
from adapterlab.driver.results import with_selected_sources
from adapterlab.errors import AdapterlabError
from adapterlab.planning.baselines import baseline_rows
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import ShareJob, SourceJob, Step, StudyJob
from adapterlab.records import State
from adapterlab.reporting.collect import summarise
from adapterlab.reporting.folder import write_report
from adapterlab.reporting.settings import report_settings
from adapterlab.reporting.significance import compare
from adapterlab.reporting.stability import correlations
from adapterlab.reporting.summary import Average, Cell, Summary
from adapterlab.reporting.tables import grids, short
from adapterlab.spec.model import Spec
from adapterlab.tracking import vocabulary
from adapterlab.tracking.run_names import study_name
from adapterlab.tracking.runs import UPLOADS
from adapterlab.tracking.views import ROWS_VIEW, note_with, view_query, view_tags
from adapterlab.worker.run_recorder import RunRecorder, by_source
from adapterlab.worker.run_tree import SweepTree

_log = logging.getLogger(__name__)

_REPORT = "report"
"""Folder of the report among the sweep's artifacts."""
_MOST_ROWS = 25
"""Methods in the note; the report has all."""
_MOST_IN_FIRST_LINE = 3
"""Sources in the note's first line, of which MLflow shows as much as fits beside its panels."""
_OWN_METRICS = ("test/", vocabulary.CONTRIBUTION)
"""Beginnings of the metrics whose mean over the seeds a row has."""


def show_comparison(
    tree: SweepTree, run: RunRecorder, catalog: Catalog, plan: Plan, state: State, *, cache: Path
) -> None:
    """Write into MLflow what a sweep came to; what goes wrong is a warning, since nothing of a sweep depends on it.

    Writes once for each target × method; reads no trial.

    Args:
        tree: The sweep's.
        run: The sweep's own run, not ended yet.
        catalog: Where the results are.
        plan: The sweep's.
        state: How it ends.
        cache: Folder of this machine's caches.
    """
    try:
        sweep = catalog.sweep(str(plan.key))
        summary = replace(summarise(catalog, sweep, cache=cache), state=str(state))
        plan = with_selected_sources(catalog, plan)
        rows = [*rows_of_studies(summary, plan), *_baselines(summary, plan, sweep)]
        stable = correlations(summary)
        shares = _show_rows(tree, catalog, rows, plan, stable)
        best = winner(summary)
        run.summary(_averages(summary, best), missing=sum(map(_missing, summary.cells)), winner=best)
        _keep_report(run, summary)
        sources = list(dict.fromkeys(name for row in rows for name in row.sources))
        longest = max((len(study_name(*row.shown)) for row in rows), default=0)
        link = f"#/experiments/{tree.tracker.experiment_id}/runs?{view_query(ROWS_VIEW)}"
        text = note(summary, rows, shares, link)
        tree.tracker.describe_experiment(
            view_tags(sweep.key, sources, created_ms=int(time.time() * 1000), longest_name=longest),
            lambda before: note_with(before, sweep.key, text),
        )
    except AdapterlabError as error:
        _log.warning("MLflow does not show the comparison of %s: %s", plan.name, error.message)
    except Exception:  # noqa: BLE001 - training is done and kept; a picture that fails must not undo that
        _log.warning("MLflow does not show the comparison of %s", plan.name, exc_info=True)


# -- rows -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One target × method as MLflow shows it."""

    cell: Cell
    steps: tuple[str, ...]
    """Keys of its runs, one a seed."""
    study: Step[StudyJob] | None = None
    """``None`` for a baseline, searched or not."""
    baseline: SourceJob | ShareJob | None = None
    """The job of one of its seeds; ``None`` for a combination."""
    coefficients: Mapping[str, float] | None = None
    """Mean over layers, dimensions and seeds, by name of the source; ``None`` for a baseline."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what is combined, in coefficient order."""
        return () if self.study is None else tuple(one.name for one in self.study.job.pool)

    @property
    def name(self) -> tuple[str, str]:
        """Target and method."""
        return self.cell.target, self.cell.combiner

    @property
    def shown(self) -> tuple[str, str]:
        """Target and method, with the seed of its pool where that tells it from others."""
        return self.cell.target, self.cell.combiner if self.study is None else self.study.job.shown


def rows_of_studies(summary: Summary, plan: Plan) -> Iterable[Row]:
    """Yield the row of each study of a combiner that the summary has, in order; each over its own pool."""
    values: dict[tuple[str, str, int | None], dict[int, list[float]]] = {}
    for one in summary.layers:
        of_row = values.setdefault((one.target, one.combiner, one.source_seed), {})
        of_row.setdefault(one.position, []).append(one.mean)
    for step in plan.combinations:
        cell = summary.cell(step.id.task, str(step.id.label))
        if cell is None:
            continue
        if step.id.source_seed is not None:  # the study's own run shows the runs over its own pool
            cell = cell.over(step.id.source_seed)
        means = values.get((cell.target, cell.combiner, step.id.source_seed), {})
        pool = [member.name for member in step.job.pool]
        yield Row(
            cell,
            tuple(str(one.key) for one in plan.finals_of(step.id)),
            study=step,
            coefficients={pool[position]: fmean(means[position]) for position in sorted(means)},
        )


def _baselines(summary: Summary, plan: Plan, sweep: SweepRecord) -> Iterable[Row]:
    try:
        declared = {
            (one.target, one.label): set(one.steps.values())
            for one in baseline_rows(Spec.model_validate_json(sweep.spec))
        }
    except (AdapterlabError, ValueError):  # as in a report: a plug-in that is gone
        declared = {}
    for cell in summary.cells:
        if not cell.is_baseline:
            continue
        wanted = declared.get((cell.target, cell.combiner))
        trained: list[Step[SourceJob] | Step[ShareJob]] = [*plan.sources, *plan.shares]
        steps = [
            step
            for step in trained
            if (
                step.id in wanted
                if wanted is not None
                else (step.id.task, step.id.rows) == (cell.target, cell.few_shot)
            )
        ]
        if steps and (wanted is not None or cell.is_own_adapter):
            yield Row(cell, tuple(str(step.key) for step in steps), baseline=steps[0].job)


def _show_rows(
    tree: SweepTree,
    catalog: Catalog,
    rows: Sequence[Row],
    plan: Plan,
    stable: Mapping[tuple[str, str], float],
) -> dict[tuple[str, str], dict[str, float]]:
    """Write each row's run; return the rows' contributions by source's metric."""
    top = tree.node("").rstrip("/")
    measured = {**tree.tracker.metrics(top, "final"), **tree.tracker.metrics(top, "source")}
    shares = {}
    for row in rows:
        runs = [measured[node] for key in row.steps if (node := tree.node(key)) in measured]
        own = _means(runs)
        shares[row.shown] = {
            name: value for name, value in own.items() if name.startswith(vocabulary.CONTRIBUTION)
        }
        if row.cell.mean is None:
            continue
        numbers = {**own, **row_numbers(row.cell)}
        if row.name in stable:
            numbers[vocabulary.STABILITY] = stable[row.name]
        if row.coefficients:
            numbers |= by_source(
                vocabulary.coefficient, tuple(row.coefficients), tuple(row.coefficients.values())
            )
        if row.baseline is not None:
            facts = plan.facts.tasks[row.cell.target]
            shown = tree.baseline(row.cell.combiner, facts, row.cell.seeds, row.baseline.rows)
            shown.row(numbers, missing=_missing(row.cell))
            shown.end(State.COMPLETE)
        elif row.study is not None and catalog.run_id(tree.node(str(row.study.key))) is not None:
            tree.at(str(row.study.key)).row(numbers, missing=_missing(row.cell))
    return shares


def row_numbers(cell: Cell) -> dict[str, float]:
    """Return what a row shows under the names that all tasks and methods share; what is not known is left out."""
    known = {
        vocabulary.TEST_SCORE: cell.mean,
        vocabulary.TEST_SCORE_STD: cell.std,
        vocabulary.VALIDATION_SCORE: _mean(cell.validation),
        vocabulary.PARAMETERS: cell.parameters,
        vocabulary.SECONDS: cell.seconds_a_run,
        vocabulary.SEEDS: len(cell.test),
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of the tasks' own metrics, of those that every run has."""
    names = set.intersection(*map(set, runs)) if runs else set()
    kept = {name for name in names if name.startswith(_OWN_METRICS)}
    found = {name: _mean([run[name] for run in runs]) for name in sorted(kept)}
    return {name: value for name, value in found.items() if value is not None}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values and all(map(math.isfinite, values)) else None


def _missing(cell: Cell) -> int:
    return max(0, cell.expected_seeds - len(cell.test))


# -- the sweep ------------------------------------------------------------------------------------------


def winner(summary: Summary) -> str | None:
    """Return the method with the best average over all targets; of equals the first, ``None`` if none is whole."""
    averages = {row: summary.average(row) for row in summary.combiners}
    whole = {row: one.mean for row, one in averages.items() if one.is_whole and one.mean is not None}
    return max(whole, key=lambda row: whole[row]) if whole else None


def _averages(summary: Summary, best: str | None) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for row in summary.combiners:
        average = summary.average(row)
        if average.mean is not None:
            numbers[vocabulary.method_score(row)] = average.mean
        if average.std is not None:
            numbers[vocabulary.method_score_std(row)] = average.std
    if best is None:
        return numbers
    cells = [cell for cell in summary.row(best) if cell is not None]
    average = summary.average(best)
    known = {
        vocabulary.TEST_SCORE: average.mean,
        vocabulary.TEST_SCORE_STD: average.std,
        vocabulary.VALIDATION_SCORE: _mean([value for cell in cells for value in cell.validation]),
        vocabulary.PARAMETERS: _sum(cell.parameters for cell in cells),
        vocabulary.SECONDS: _mean([cell.seconds_a_run for cell in cells if cell.seconds_a_run is not None]),
        vocabulary.SEEDS: len(average.by_seed),
    }
    return numbers | {name: float(value) for name, value in known.items() if value is not None}


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _keep_report(run: RunRecorder, summary: Summary) -> None:
    """Store the report and its pictures beside the sweep's run."""
    with scratch_folder(UPLOADS, Path(tempfile.gettempdir())) as folder:
        settings = report_settings(summary)
        significance = None
        if settings.against in summary.combiners:
            points = settings.equal_within
            bound = None if points is None else points / 100
            significance = compare(summary, str(settings.against), equal_within=bound)
        tables = grids(summary, significance, digits=settings.digits)
        for name in write_report(folder, summary, tables, significance):
            run.file(f"{_REPORT}/{name}", (folder / name).read_bytes())


# -- the note -------------------------------------------------------------------------------------------


def note(
    summary: Summary,
    rows: Sequence[Row],
    shares: Mapping[tuple[str, str], Mapping[str, float]],
    link: str,
) -> str:
    """Return Markdown of a sweep: its best method in the first line, then methods × targets, then sources.

    Args:
        summary: The sweep's results.
        rows: Every target × method.
        shares: Their sources' contributions by metric.
        link: Opens the runs behind it.
    """
    averages = {row: summary.average(row) for row in summary.combiners}
    order = sorted(averages, key=lambda row: -_height(averages[row]))
    several = len(summary.targets) > 1
    best = winner(summary)
    first = f"**{_safe(summary.sweep)}** ({summary.state}): no method has all its seeds yet"
    if best is not None:
        seeds = len(averages[best].by_seed)
        over = f"{len(summary.targets)} targets" if several else short(summary.targets[0])
        first = (
            f"**{_safe(summary.sweep)}**: best is **{_safe(best)}, "
            f"{_score(averages[best].mean, averages[best].std)}** on test ({over}, {_counted(seeds, 'seed')})"
        )
        level = [row for row in order if row != best and _shown(averages[row]) == _shown(averages[best])]
        first += f", level with {_counted(len(level), 'other')}" if level else ""
        combined = _best_combination(rows, best)
        if combined is not None:
            said = _sources_of(combined, shares, most=_MOST_IN_FIRST_LINE)
            whose = "" if combined.shown[1] == best else f"{_safe(combined.shown[1])}'s "
            first += f" · {whose}coefficients on {short(combined.cell.target)}: {said}"
    lines = [f"{first} · [all runs compared]({link})", ""]
    heads = [short(target) for target in summary.targets] + (["average"] if several else [])
    lines += [_line(["method", *map(_safe, heads)]), _line(["---"] * (len(heads) + 1))]
    for row in order[:_MOST_ROWS]:
        cells = [summary.cell(target, row) for target in summary.targets]
        shown = [_score(cell.mean, cell.std) if cell is not None else "–" for cell in cells]
        shown += [_score(averages[row].mean, averages[row].std)] if several else []
        lines.append(_line([f"**{_safe(row)}**" if row == best else _safe(row), *shown]))
    if len(order) > _MOST_ROWS:
        lines += ["", f"{len(order) - _MOST_ROWS} more methods: see the report among the sweep's artifacts."]
    lines += ["", "Test in per cent, mean ± standard deviation over seeds."]
    named = [(row, _sources_of(row, shares)) for row in _best_of_each(rows)]
    if any(said for _, said in named):
        lines += ["", _line(["target", "best combination", "coefficient (share of the output)"])]
        lines.append(_line(["---"] * 3))
        lines += [
            _line([_safe(short(row.cell.target)), _safe(row.shown[1]), said]) for row, said in named if said
        ]
    return "\n".join(lines)


def _best_combination(rows: Sequence[Row], best: str) -> Row | None:
    """Return the row whose coefficients the first line tells: the winner's, else the best combination's."""
    known = [row for row in rows if row.coefficients and row.cell.mean is not None]
    own = [row for row in known if row.cell.combiner == best]
    return max(own or known, key=lambda row: row.cell.mean or -math.inf, default=None)


def _best_of_each(rows: Sequence[Row]) -> list[Row]:
    """Return each target's best combination."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.study is None or row.cell.mean is None:
            continue
        known = found.get(row.cell.target)
        if known is None or row.cell.mean > (known.cell.mean or -math.inf):
            found[row.cell.target] = row
    return list(found.values())


def _sources_of(row: Row, shares: Mapping[tuple[str, str], Mapping[str, float]], *, most: int = 8) -> str:
    """Return a row's sources, those with the greatest share of its output first: ``rte 0.52 (61 %), 7 more``."""
    own = shares.get(row.shown, {})
    said = []
    for source, mean in sorted(
        (row.coefficients or {}).items(),
        key=lambda one: (-own.get(vocabulary.contribution(one[0]), 0.0), -one[1]),
    ):
        share = own.get(vocabulary.contribution(source))
        said.append(
            f"{_safe(short(source))} {mean:.3f}" + ("" if share is None else f" ({100 * share:.0f} %)")
        )
    rest = [f"{len(said) - most} more"] if len(said) > most else []
    return ", ".join([*said[:most], *rest])


def _height(average: Average) -> float:
    return -math.inf if average.mean is None else average.mean


def _shown(average: Average) -> str | None:
    """Return an average as people see it; ``None`` for one that is not ranked."""
    return _score(average.mean, None) if average.is_whole else None


def _score(mean: float | None, std: float | None) -> str:
    if mean is None:
        return "–"
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """Return a name without what Markdown or HTML would read as its own."""
    for mark in "\\`*_[]|<>":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>|" else " ")
    return text
