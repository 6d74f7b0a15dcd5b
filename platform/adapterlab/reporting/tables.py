"""The tables of a report, before they have a format: scores, costs, significance, contributions.

As in the papers: rows are methods, columns are targets with their average (ScaLearn, Table 2), and
parameters for one target and for all of them (its Tables 4 and 7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from adapterlab.reporting.grid import NOTHING, Column, Entry, Grid, Mark
from adapterlab.reporting.intervals import Interval, McNemar, Resampled
from adapterlab.reporting.selected_sources import selected_sources
from adapterlab.reporting.significance import ACROSS, AVERAGE, Comparison, Significance
from adapterlab.reporting.stability import correlations
from adapterlab.reporting.summary import (
    OWN_ADAPTER,
    Average,
    Background,
    Cell,
    PoolSearch,
    Summary,
    ranked,
    short_names,
)

MAJORITY = "majority class"
"""Row of always answering a task's most frequent class."""
_MARKS = "Best bold, second underlined, equal as shown; rows that lack seeds are not ranked."
_TOP_SOURCES = 3
_DIGEST_DIGITS = 12
_LEVEL = 0.05
_PROBABLE = 0.95
"""Probability from which a region is marked."""
_SIGNIFICANT = f"Bold: p below {_LEVEL:g}; of tables without any effect one in twenty has a bold cell."
_PARAMETERS = (
    "Parameters: trained ones, without heads and without the frozen source adapters, as in the papers; with sources: "
    "for all targets, and each adapter that they combine once."
)
_TIMES = (
    "Device: computing, a pass's time divided by the runs that shared it. Clock: time in which a trial of the search "
    "was open; searches side by side have the same minutes. Both are means over targets. Trials and the rows they "
    "trained on, each epoch anew, are those of one target; without them a setting was not searched."
)
_STABLE = (
    "Stability: how alike the coefficients of layers and sources are over seeds, mean rank correlation of all pairs of "
    "seeds; 1 the same order with every seed, around 0 as chance has it."
)


def grids(
    summary: Summary,
    significance: Significance | None = None,
    *,
    resampled: Resampled | None = None,
    digits: int = 1,
    majority: Mapping[str, float] | None = None,
) -> list[Grid]:
    """Return a report's tables in order.

    Args:
        summary: A sweep's results.
        significance: Rows against a reference, if that was asked for.
        resampled: Intervals over rows and seeds, if they were asked for.
        digits: Decimals of scores in per cent.
        majority: By target, what always answering the most frequent class gives; a row of its own, where known.
    """
    found = [scores(summary, digits=digits, majority=majority), costs(summary)]
    if (apart := separations(summary)) is not None:
        found.append(apart)
    if significance is not None:
        found.append(comparisons(significance, summary, digits=digits))
        if significance.equivalences:
            found.append(equivalences(significance, summary, digits=digits))
    if resampled is not None:
        found.append(intervals(resampled, summary, digits=digits))
        if resampled.tests:
            found.append(row_by_row(resampled, summary))
    last = (variances(summary, digits=digits), selected_sources(summary), influences(summary))
    return [*found, *(one for one in last if one)]


# -- scores -----------------------------------------------------------------------------------------


def scores(summary: Summary, *, digits: int = 1, majority: Mapping[str, float] | None = None) -> Grid:
    """Return methods × targets: the leading metric on test in per cent, mean and deviation over seeds."""
    several = len(summary.targets) > 1
    names = short_names(summary.targets)
    columns = [Column("method", is_number=False)]
    columns += [Column(names[target], summary.metric(target) or None) for target in summary.targets]
    averages = {row: summary.average(row) for row in summary.combiners}
    marks = {
        target: _marks([_rankable(summary.cell(target, row)) for row in summary.combiners], digits)
        for target in summary.targets
    }
    average_marks = _marks([one.mean if one.is_whole else None for one in averages.values()], digits)
    rows = [_majority(summary, majority, digits)] if majority else []
    for place, row in enumerate(summary.combiners):
        entries = [_row_name(summary, row)]
        entries += [
            _score(summary.cell(target, row), marks[target][place], digits) for target in summary.targets
        ]
        if several:
            entries.append(_average(averages[row], average_marks[place], digits))
        rows.append(tuple(entries))
    if several:
        columns.append(Column(AVERAGE))
    return Grid(
        title=f"{summary.sweep}: test, in per cent, mean ± std over seeds",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(_score_notes(summary, majority)),
        marks=_MARKS if len(summary.combiners) > 1 else None,
    )


def _row_name(summary: Summary, row: str) -> Entry:
    """Return a row's name, and what it is where its name does not say it."""
    own = any(cell is not None and cell.is_own_adapter for cell in summary.row(row))
    return Entry(row, note="target's own adapter" if own and OWN_ADAPTER not in row else None)


def _majority(summary: Summary, majority: Mapping[str, float], digits: int) -> tuple[Entry, ...]:
    values = [majority.get(target) for target in summary.targets]
    known = [value for value in values if value is not None]
    entries = [NOTHING if value is None else _per_cent(value, digits) for value in values]
    if len(values) > 1:
        whole = len(known) == len(values)
        entries.append(_per_cent(sum(known) / len(known), digits) if whole else NOTHING)
    return (Entry(MAJORITY, note="not trained"), *map(Entry, entries))


def _score(cell: Cell | None, mark: Mark | None, digits: int) -> Entry:
    if cell is None:
        return Entry(NOTHING)
    note = "; ".join(_missing(cell)) or None
    if cell.mean is None:
        return Entry(NOTHING, note=note)
    return Entry(_per_cent(cell.mean, digits), _spread(cell.std, digits), note, mark)


def _average(average: Average, mark: Mark | None, digits: int) -> Entry:
    if average.mean is None:
        return Entry(NOTHING, note="a target has no value")
    note = None if average.is_whole else "seeds missing"
    return Entry(_per_cent(average.mean, digits), _spread(average.std, digits), note, mark)


def _missing(cell: Cell) -> list[str]:
    """Say what a cell lacks: seeds that failed or have not ended, values that are no numbers."""
    found = []
    count = len(cell.test)
    states: dict[str, int] = {}
    for gap in cell.gaps:
        states[gap.state] = states.get(gap.state, 0) + 1
    if states or count < cell.expected_seeds:
        reasons = ", ".join(f"{number} {state}" for state, number in states.items())
        seeds = f"{count}/{cell.expected_seeds} seeds" if cell.expected_seeds else "no seeds"
        found.append(f"{seeds}: {reasons}" if reasons else seeds)
    if cell.undefined:
        found.append(f"undefined for seed {', '.join(map(str, cell.undefined))}")
    return found


def _score_notes(summary: Summary, majority: Mapping[str, float] | None) -> list[str]:
    notes = []
    names = short_names(summary.targets)
    if majority:
        notes.append(f"{MAJORITY}: always the most frequent class of the test rows.")
    if len(summary.targets) > 1:
        notes.append("Average: mean of the targets' means; ± over the seeds that all targets share.")
    reasons = {
        f"{cell.combiner} on {names[cell.target]}{f', seed {gap.seed}' if gap.seed is not None else ''}: "
        f"{gap.state}{f' ({gap.reason})' if gap.reason else ''}."
        for cell in summary.cells
        for gap in cell.gaps
        if gap.state == "failed"
    }
    return [*notes, *sorted(reasons)]


def _rankable(cell: Cell | None) -> float | None:
    return cell.mean if cell is not None and cell.is_whole else None


def _marks(values: Sequence[float | None], digits: int) -> list[Mark | None]:
    if sum(value is not None for value in values) < 2:
        return [None] * len(values)
    names: dict[int | None, Mark] = {1: "best", 2: "second"}
    return [names.get(place) for place in ranked(values, digits)]


_JOINT = "A joint run trains one model for all of its targets: its parameters count once, its time is divided among them."


# -- costs ------------------------------------------------------------------------------------------


def costs(summary: Summary) -> Grid:
    """Return what each method trains, for one target and for all, and how long that took."""
    whole = summary.backbone_parameters
    columns = [
        Column("method", is_number=False),
        Column("parameters", "one target"),
        Column("% of backbone", "one target"),
        Column("parameters", "all targets"),
        Column("% of backbone", "all targets"),
        Column("parameters", "with sources"),
        Column("head", "one target", group=1),
        Column("a run", "device, s", group=1),
        Column("search", "device, s", group=1),
        Column("search", "clock, s", group=1),
        Column("search", "trials", group=1),
        Column("search", "rows", group=1),
    ]
    rows = []
    for row in summary.combiners:
        cells = summary.row(row)
        counts = [None if cell is None else cell.parameters for cell in cells]
        known = [count for count in counts if count is not None]
        total = sum(known) if known and len(known) == len(cells) else None
        if known and all(cell is not None and cell.is_joint for cell in cells):
            total = max(known)
        heads = [cell.head_parameters for cell in cells if cell is not None and cell.head_parameters]
        rows.append(
            (
                Entry(row),
                Entry(_span(known)),
                Entry(_share(max(known, default=None), whole)),
                Entry(NOTHING if total is None else f"{total:,}"),
                Entry(_share(total, whole)),
                Entry(_with_sources(total, cells)),
                Entry(_span(heads)),
                Entry(_seconds([None if cell is None else cell.seconds_a_run for cell in cells])),
                Entry(_seconds([None if cell is None else cell.search_seconds for cell in cells])),
                Entry(_seconds([None if cell is None else cell.search_clock_seconds for cell in cells])),
                Entry(
                    _span([cell.search_trials for cell in cells if cell is not None and cell.search_trials])
                ),
                Entry(
                    _span(
                        [
                            cell.search_train_rows
                            for cell in cells
                            if cell is not None and cell.search_train_rows
                        ]
                    )
                ),
            )
        )
    base = f"The backbone has {whole:,} parameters, embeddings included." if whole else ""
    notes = [
        _PARAMETERS,
        *([base] if base else ["The backbone is not at hand, so shares of it are not shown."]),
        *([_JOINT] if any(cell.is_joint for cell in summary.cells) else []),
        _TIMES,
        *_times(summary),
        *(_pool_search(one) for one in summary.pool_searches),
        *(f"Search: {text}." for text in dict.fromkeys(one.search for one in summary.background) if text),
    ]
    return Grid(f"{summary.sweep}: cost", tuple(columns), tuple(rows), tuple(notes))


def _with_sources(total: int | None, cells: Sequence[Cell | None]) -> str:
    """Return parameters for all targets and of the adapters that are combined, each once."""
    sources = {key: count for cell in cells if cell is not None for key, count in cell.sources.items()}
    counts = [count for count in sources.values() if count is not None]
    if total is None or len(counts) < len(sources):
        return NOTHING
    return f"{total + sum(counts):,}"


def _times(summary: Summary) -> list[str]:
    if summary.device_seconds is None:
        return []
    said = [f"All steps together, each once: {_seconds([summary.device_seconds])} s of device time"]
    if summary.search_seconds is not None:
        said.append(f"of these {_seconds([summary.search_seconds])} s for searches")
    clock = summary.search_clock_seconds
    found = ", ".join(said)
    return [f"{found}." if clock is None else f"{found}, which took {_seconds([clock])} s by the clock."]


def _pool_search(one: PoolSearch) -> str:
    """Return what searching the pool's settings cost, which is in no row of its own."""
    searches = "1 search" if one.searches == 1 else f"{one.searches} searches"
    rows = "" if one.train_rows is None else f" on {one.train_rows:,} rows"
    clock = "" if one.clock_seconds is None else f", {_seconds([one.clock_seconds])} s by the clock"
    return (
        f"Of these for the pool's adapters, whatever combines them: {searches}, {one.trials:,} trials{rows}, "
        f"{_seconds([one.seconds])} s of device time{clock}."
    )


def _seconds(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    mean = sum(known) / len(known)
    return f"{mean:.1f}" if mean < 100 else f"{mean:,.0f}"


def _span(counts: Sequence[int]) -> str:
    if not counts:
        return NOTHING
    least, most = min(counts), max(counts)
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def _share(count: int | None, whole: int | None) -> str:
    if count is None or not whole:
        return NOTHING
    share = 100 * count / whole
    decimals = 2 if share >= 0.1 or share == 0 else 4
    return f"{share:.{decimals}f}"


def separations(summary: Summary) -> Grid | None:
    """Return how far the best trials of searches lie apart in units of their runs' noise; ``None``: not known of any."""
    if not any(cell.separation for cell in summary.cells):
        return None
    columns = _methods_and_targets(summary)
    rows = tuple(
        (Entry(row), *(_separation(cell) for cell in summary.row(row)))
        for row in summary.combiners
        if any(cell is not None and cell.separation for cell in summary.row(row))
    )
    note = (
        "The best trial's value on validation less the next one's, in standard errors of that difference, paired over "
        "runs of the same seed and fold (over folds corrected for their common rows). Below it: how many other trials "
        "are within two standard errors of the best. Where most are, the choice among them is chance."
    )
    return Grid(f"{summary.sweep}: what searches could tell apart", columns, rows, (note,))


def _separation(cell: Cell | None) -> Entry:
    apart = None if cell is None else cell.separation
    if apart is None:
        return Entry(NOTHING)
    errors = apart.in_errors
    text = "equal" if errors is None else "no noise" if math.isinf(errors) else f"{errors:.1f} SE"
    return Entry(text, note=f"{apart.alike} of {apart.trials - 1} alike")


# -- variance ---------------------------------------------------------------------------------------


def variances(summary: Summary, *, digits: int = 1) -> Grid | None:
    """Return rows × targets: deviations between pools and over one pool; ``None`` where there is one pool each."""
    if not any(cell.is_nested for cell in summary.cells):
        return None
    columns = _methods_and_targets(summary)
    rows = tuple(
        (Entry(row), *(_variance(cell, digits) for cell in summary.row(row)))
        for row in summary.combiners
        if any(cell is not None and cell.is_nested for cell in summary.row(row))
    )
    notes = (
        (
            "Standard deviation between pools of other source seeds + that of runs over one pool, in points; beside it the "
            "standard error of the mean, for other pools and other final seeds. Random effects, by analysis of variance; "
            "0 where pools differ no more than their runs do."
        ),
        (
            "In the other tables ± is over all runs; paired tests, intervals and averages take each pool as one draw, "
            "since its runs have their sources in common."
        ),
    )
    return Grid(f"{summary.sweep}: variance of pools and of runs", columns, rows, notes)


def _variance(cell: Cell | None, digits: int) -> Entry:
    parts = None if cell is None else cell.components
    if parts is None:
        return Entry(NOTHING, note="fewer than 2 x 2 runs" if cell is not None and cell.is_nested else None)
    text = f"{_per_cent(parts.between_std, digits)} + {_per_cent(parts.within_std, digits)}"
    error = _per_cent(parts.mean_error, digits)
    return Entry(text, note=f"± {error}, {parts.pools} pools x {parts.seeds} seeds")


# -- significance -----------------------------------------------------------------------------------


def comparisons(significance: Significance, summary: Summary, *, digits: int = 1) -> Grid:
    """Return rows × targets: difference to the reference, p-value and number of pairs."""
    several = len(summary.targets) > 1
    names = [*summary.targets, *([AVERAGE, ACROSS] if several else [])]
    shown = short_names(summary.targets)
    columns = [Column("method", is_number=False), *(Column(shown.get(name, name)) for name in names)]
    rows = tuple(
        (
            Entry(row),
            *(_comparison(significance.of(row, name), digits) for name in names),
        )
        for row in summary.combiners
        if row != significance.against
    )
    over_seeds = [one for one in significance.comparisons if one.target != ACROSS]
    sizes = sorted({one.pairs for one in over_seeds if one.pairs > 1})
    least = "; ".join(f"n = {size}: {2.0 ** (1 - size):.2g}" for size in sizes)
    exact = all(one.is_exact for one in over_seeds)
    kind = "exact permutation test" if exact else "permutation test"
    notes = [
        f"Difference to {significance.against} in points, mean over n shared seeds; two-sided p of the {kind} paired "
        "over seeds, corrected for all rows and targets together (Westfall and Young's maxT)"
        + ("; averages for all rows." if several else "."),
    ]
    if several:
        notes.append(
            "Across targets: Wilcoxon's signed-rank test over the n targets' mean differences, corrected for all rows "
            "(Holm). It asks about tasks like these, the other columns about seeds of these tasks."
        )
    if least:
        notes.append(f"The smallest p that so many seeds can give, before correction: {least}.")
    if not all(one.pairs > 1 for one in over_seeds):
        notes.append("Fewer than two shared seeds can show nothing and are not tested.")
    return Grid(
        f"{summary.sweep}: against {significance.against}", tuple(columns), rows, tuple(notes), _SIGNIFICANT
    )


def _comparison(one: Comparison | None, digits: int) -> Entry:
    if one is None or one.difference is None:
        return Entry(NOTHING, note="no shared seed")
    text = f"{100 * one.difference:+.{digits}f}"
    p = one.p_adjusted
    if p is None:
        return Entry(text, note=f"n = {one.pairs}, not tested")
    return Entry(text, note=f"p = {p:.3g}, n = {one.pairs}", mark="best" if p < _LEVEL else None)


def equivalences(significance: Significance, summary: Summary, *, digits: int = 1) -> Grid:
    """Return rows × how probable it is that they are worse than the reference, practically equal, or better."""
    bound = f"{100 * (significance.equal_within or 0.0):.{max(digits, 1)}f}"
    columns = (
        Column("method", is_number=False),
        Column("difference", "points, mean over targets"),
        Column("effect size", "over targets"),
        Column("worse", f"by more than {bound}"),
        Column("practically equal", f"within {bound}"),
        Column("better", f"by more than {bound}"),
    )
    rows = []
    for one in significance.equivalences:
        across = significance.of(one.combiner, ACROSS)
        rows.append(
            (
                Entry(one.combiner),
                Entry(
                    NOTHING
                    if across is None or across.difference is None
                    else f"{100 * across.difference:+.{digits}f}"
                ),
                Entry(NOTHING if across is None or across.effect is None else f"{across.effect:+.2f}"),
                *(_probability(value) for value in (one.worse, one.equal, one.better)),
            )
        )
    said = (
        f"Probabilities from a Bayesian signed-rank test over the targets' mean differences to {significance.against} "
        "(Benavoli et al. 2017). Effect size: mean over standard deviation of these differences. The bound is for you to "
        "choose before you look."
    )
    marks = (
        f"Bold: probable by at least {100 * _PROBABLE:g} %."
        if any(e.mark for row in rows for e in row)
        else None
    )
    title = f"{summary.sweep}: practically equal to {significance.against}?"
    return Grid(title, columns, tuple(rows), (said,), marks)


def _probability(value: float) -> Entry:
    return Entry(f"{value:.2f}", mark="best" if value >= _PROBABLE else None)


# -- rows and seeds ---------------------------------------------------------------------------------


def intervals(resampled: Resampled, summary: Summary, *, digits: int = 1) -> Grid:
    """Return rows × targets: where each score lies, and its difference to the reference, if there is one."""
    shown = short_names(summary.targets)
    columns = [Column("method", is_number=False)]
    columns += [Column(shown[target], summary.metric(target) or None) for target in summary.targets]
    rows = tuple(
        (Entry(row), *(_interval(resampled.of(row, target), digits) for target in summary.targets))
        for row in summary.combiners
    )
    said = (
        f"95 % intervals: {resampled.resamples:,} bootstrap samples, each of test rows and of seeds together; "
        "with one seed of rows alone. They say nothing of other tasks, or of other sources."
    )
    notes = [said]
    if resampled.against is not None:
        notes.append(
            f"With each: the interval of the difference to {resampled.against} in points, on the same rows and seeds; bold where it "
            "leaves out 0, not corrected for how many there are."
        )
    notes += [
        f"Without an interval: {count} of the cells, {why}." for why, count in resampled.without.items()
    ]
    bold = any(entry.mark for row in rows for entry in row)
    return Grid(
        f"{summary.sweep}: 95 % intervals over test rows and seeds, in per cent",
        tuple(columns),
        rows,
        tuple(notes),
        "Bold: the difference's interval leaves out 0." if bold else None,
    )


def _interval(one: Interval | None, digits: int) -> Entry:
    if one is None:
        return Entry(NOTHING)
    text = f"{_per_cent(one.low, digits)} to {_per_cent(one.high, digits)}"
    if one.difference_low is None or one.difference_high is None:
        return Entry(text, note="rows alone" if one.seeds == 1 else None)
    low, high = (100 * one.difference_low, 100 * one.difference_high)
    mark: Mark | None = "best" if low > 0 or high < 0 else None
    return Entry(text, note=f"{low:+.{digits}f} to {high:+.{digits}f}", mark=mark)


def row_by_row(resampled: Resampled, summary: Summary) -> Grid:
    """Return rows × targets: McNemar's tests against the reference, all seeds of a cell in one entry."""
    columns = _methods_and_targets(summary)
    rows = tuple(
        (Entry(row), *(_mcnemar(resampled.tests_of(row, target)) for target in summary.targets))
        for row in summary.combiners
        if row != resampled.against
    )
    said = (
        f"Test rows that the method alone answers right : that {resampled.against} alone does, over seeds; and in how "
        f"many of the shared seeds McNemar's exact test of the two runs has p below {_LEVEL:g}, corrected for all "
        "these tests (Holm). It compares two trained models; whether the methods differ is a question over seeds."
    )
    return Grid(f"{summary.sweep}: row by row against {resampled.against} (McNemar)", columns, rows, (said,))


def _mcnemar(tests: Sequence[McNemar]) -> Entry:
    if not tests:
        return Entry(NOTHING)
    counts = f"{sum(one.only_it for one in tests):,} : {sum(one.only_reference for one in tests):,}"
    return Entry(counts, note=f"{sum(one.p_adjusted < _LEVEL for one in tests)} of {len(tests)} seeds")


# -- contributions ----------------------------------------------------------------------------------


def influences(summary: Summary) -> Grid | None:
    """Return the sources with the greatest mean coefficients for each target; ``None`` if none is known."""
    if not summary.influences:
        return None
    rows = []
    tasks = short_names(one for item in summary.influences for one in (item.target, item.source))
    stable = correlations(summary)
    for target, combiner in dict.fromkeys((one.target, one.combiner) for one in summary.influences):
        sources = [one for one in summary.influences if (one.target, one.combiner) == (target, combiner)]
        sources.sort(key=lambda one: -one.mean)
        best = ", ".join(f"{tasks[one.source]} {one.mean:.2f}" for one in sources[:_TOP_SOURCES])
        alike = stable.get((target, combiner))
        same = () if not stable else (Entry(NOTHING if alike is None else f"{alike:.2f}"),)
        rows.append((Entry(tasks[target]), Entry(combiner), *same, Entry(best)))
    number = (Column("stability"),) if stable else ()
    first, second, last = (Column(name, is_number=False) for name in ("target", "combiner", "sources"))
    notes = (_STABLE,) if stable else ()
    return Grid("largest mean coefficients", (first, second, *number, last), tuple(rows), notes)


# -- tasks ------------------------------------------------------------------------------------------


def task_rows(backgrounds: Sequence[Background]) -> Grid | None:
    """Return each task's splits and their rows, as ScaLearn's Table 5 has them; ``None`` where no task is known.

    Args:
        backgrounds: Of one sweep or of several; those that share a task have one row for it.
    """
    rows = {(task.name, task.digest): task for one in backgrounds for task in one.tasks}
    if not rows:
        return None
    columns = (
        Column("task", is_number=False), Column("part", is_number=False), Column("type", is_number=False),
        Column("labels"), Column("metric", is_number=False), Column("train rows"), Column("validation rows"),
        Column("test rows"), Column("content", is_number=False),
    )  # fmt: skip
    entries = tuple(
        tuple(
            Entry(NOTHING if value is None else f"{value:,}" if isinstance(value, int) else str(value))
            for value in (
                task.name, task.role, (task.problem_type or NOTHING).replace("_", "-"), task.labels, task.metric,
                task.train, task.validation, task.test, (task.digest or NOTHING)[:_DIGEST_DIGITS],
            )
        )
        for task in rows.values()
    )  # fmt: skip
    return Grid("Tasks and rows", columns, entries)


def short(task: str) -> str:
    """Return a task's name without its benchmark."""
    return task.rsplit("/", 1)[-1]


def _methods_and_targets(summary: Summary) -> tuple[Column, ...]:
    """Return the columns of a table of methods × targets."""
    shown = short_names(summary.targets)
    return (Column("method", is_number=False), *(Column(shown[target]) for target in summary.targets))


def _per_cent(value: float, digits: int) -> str:
    return f"{100 * value:.{digits}f}"


def _spread(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{100 * value:.{digits}f}"
