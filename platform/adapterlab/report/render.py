"""A summary as text for people: a table for the terminal, or Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapterlab.report.summary import Cell, Summary

if TYPE_CHECKING:
    from rich.table import Table

_TOP_SOURCES = 3


def result_table(summary: Summary) -> Table:
    """Return targets × combiners: test metric, mean ± standard deviation over seeds, in per cent."""
    from rich.table import Table

    table = Table(title=f"{summary.sweep}: test, mean ± std over seeds", title_justify="left")
    table.add_column("method")
    table.add_column("parameters", justify="right")
    for target in summary.targets:
        metric = next(cell.metric for cell in summary.cells if cell.target == target)
        table.add_column(f"{_short(target)}\n[dim]{metric}[/dim]", justify="right")
    for combiner in summary.combiners:
        cells = [summary.cell(target, combiner) for target in summary.targets]
        table.add_row(combiner, _parameters(cells), *(_value(cell) for cell in cells))
    return table


def influence_table(summary: Summary) -> Table | None:
    """Return the sources with the greatest coefficients for each target; ``None`` if none is known."""
    from rich.table import Table

    if not summary.influences:
        return None
    table = Table(title="largest mean coefficients", title_justify="left")
    table.add_column("target")
    table.add_column("combiner")
    table.add_column("sources")
    pairs = dict.fromkeys((one.target, one.combiner) for one in summary.influences)
    for target, combiner in pairs:
        sources = [one for one in summary.influences if (one.target, one.combiner) == (target, combiner)]
        sources.sort(key=lambda one: -one.mean)
        best = ", ".join(f"{_short(one.source)} {one.mean:.2f}" for one in sources[:_TOP_SOURCES])
        table.add_row(_short(target), combiner, best)
    return table


def markdown(summary: Summary) -> str:
    """Return the results as a Markdown table."""
    head = ["method", "parameters"]
    head += [
        f"{_short(target)} ({next(cell.metric for cell in summary.cells if cell.target == target)})"
        for target in summary.targets
    ]
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for combiner in summary.combiners:
        cells = [summary.cell(target, combiner) for target in summary.targets]
        lines.append(_row([combiner, _parameters(cells), *(_value(cell) for cell in cells)]))
    return "\n".join(lines)


def _row(values: list[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def _parameters(cells: list[Cell | None]) -> str:
    counts = [cell.parameters for cell in cells if cell is not None and cell.parameters is not None]
    return f"{max(counts):,}" if counts else "–"


def _value(cell: Cell | None) -> str:
    if cell is None or cell.mean is None:
        return "–"
    text = f"{100 * cell.mean:.1f}"
    if cell.std is not None:
        text += f" ± {100 * cell.std:.1f}"
    missing = cell.expected_seeds - len(cell.test)
    return text if missing <= 0 else f"{text} ({len(cell.test)}/{cell.expected_seeds} seeds)"


def _short(task: str) -> str:
    return task.rsplit("/", 1)[-1]
