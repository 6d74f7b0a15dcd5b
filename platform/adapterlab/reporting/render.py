"""A report's tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from adapterlab.reporting.grid import Column, Entry, Grid
from adapterlab.reporting.intervals import Resampled
from adapterlab.reporting.significance import Significance
from adapterlab.reporting.stability import correlations
from adapterlab.reporting.summary import Summary

FORMATS = ("text", "markdown", "latex", "html", "csv")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "·": r"$\cdot$",
}  # fmt: skip

# -- Markdown ---------------------------------------------------------------------------------------


def markdown(grids: Sequence[Grid]) -> str:
    """Return tables with their titles and notes as Markdown."""
    return "\n\n".join(_markdown_grid(grid) for grid in grids) + "\n"


def _markdown_grid(grid: Grid) -> str:
    head = [f"{one.name} ({one.detail})" if one.detail else one.name for one in grid.columns]
    rule = ["---:" if one.is_number else "---" for one in grid.columns]
    rows = [[_markdown_entry(entry) for entry in row] for row in grid.rows]
    lines = [f"**{_markdown_text(grid.title)}**", ""]
    lines += [f"| {' | '.join(cells)} |" for cells in ([_markdown_text(one) for one in head], rule, *rows)]
    if notes := _below(grid):
        lines += ["", *(f"*{_markdown_text(note)}*  " for note in notes)]
    return "\n".join(lines).rstrip()


def _below(grid: Grid) -> list[str]:
    return [*([grid.marks] if grid.marks else []), *grid.notes]


def _markdown_entry(entry: Entry) -> str:
    text = _markdown_text(entry.text if entry.spread is None else f"{entry.text} ± {entry.spread}")
    around = {"best": ("**", "**"), "second": ("<u>", "</u>"), None: ("", "")}[entry.mark]
    note = f" ({_markdown_text(entry.note)})" if entry.note else ""
    return f"{around[0]}{text}{around[1]}{note}"


def _markdown_text(text: str) -> str:
    plain = " ".join(text.split())
    for character in ("\\", "|", "*", "<"):
        plain = plain.replace(character, f"\\{character}")
    return plain


# -- LaTeX ------------------------------------------------------------------------------------------


def latex(grids: Sequence[Grid]) -> str:
    r"""Return tables as LaTeX with ``booktabs``; deviations are subscripts, as in the papers."""
    head = "% needs \\usepackage{booktabs}\n"
    return head + "\n\n".join(_latex_grid(grid) for grid in grids) + "\n"


def _latex_grid(grid: Grid) -> str:
    alignment = "".join("r" if one.is_number else "l" for one in grid.columns)
    notes = " ".join(_below(grid))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex_text(f'{grid.title}. {notes}' if notes else grid.title)}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(_latex_heading(one) for one in grid.columns) + r" \\",
        r"\midrule",
        *(" & ".join(_latex_entry(entry) for entry in row) + r" \\" for row in grid.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _latex_heading(column: Column) -> str:
    detail = rf" {{\small ({_latex_text(column.detail)})}}" if column.detail else ""
    return f"{_latex_text(column.name)}{detail}"


def _latex_entry(entry: Entry) -> str:
    text = _latex_text(entry.text)
    command = {"best": "textbf", "second": "underline", None: None}[entry.mark]
    marked = rf"\{command}{{{text}}}" if command else text
    spread = "" if entry.spread is None else rf"$_{{{_latex_text(entry.spread)}}}$"
    note = rf" {{\scriptsize ({_latex_text(entry.note)})}}" if entry.note else ""
    return f"{marked}{spread}{note}"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


# -- CSV --------------------------------------------------------------------------------------------


_INTERVAL = ["low", "high", "difference_low", "difference_high"]


def cells_csv(
    summary: Summary, significance: Significance | None = None, resampled: Resampled | None = None
) -> str:
    """Return one line per row and target, for programs: metrics as they are (not per cent), nothing rounded."""
    fields = [
        "method", "is_baseline", "target", "metric", "mean", "std", "seeds", "expected_seeds", "failed",
        "parameters", "percent_of_backbone", "head_parameters", "seconds_a_run", "search_seconds",
    ]  # fmt: skip
    if significance is not None:
        fields += ["against", "difference", "pairs", "p", "p_adjusted", "effect"]
    fields += ["search_clock_seconds", "is_own_adapter", "stability", "search_trials", "search_train_rows"]
    fields += ["few_shot", "pool_size", "pools", "std_between_pools", "std_within_pools"]
    if resampled is not None:
        fields += _INTERVAL
    stable = correlations(summary)
    lines: list[list[object]] = []
    for cell in summary.cells:
        whole, count = summary.backbone_parameters, cell.parameters
        line: list[object] = [
            cell.combiner, cell.is_baseline, cell.target, cell.metric, cell.mean, cell.std, len(cell.test),
            cell.expected_seeds, sum(gap.state == "failed" for gap in cell.gaps), count,
            100 * count / whole if whole and count is not None else None,
            cell.head_parameters, cell.seconds_a_run, cell.search_seconds,
        ]  # fmt: skip
        if significance is not None:
            one = significance.of(cell.combiner, cell.target)
            line += [significance.against]
            line += [one.difference, one.pairs, one.p, one.p_adjusted, one.effect] if one else [None] * 5
        alike = stable.get((cell.target, cell.combiner))
        line += [cell.search_clock_seconds, cell.is_own_adapter, alike]
        line += [cell.search_trials, cell.search_train_rows, cell.few_shot, cell.pool_size]
        parts = cell.components
        line += [len(set(cell.source_seeds)) or None]
        line += [None, None] if parts is None else [parts.between_std, parts.within_std]
        if resampled is not None:
            found = resampled.of(cell.combiner, cell.target)
            line += [None if found is None else getattr(found, name) for name in _INTERVAL]
        lines.append(line)
    return csv_text(fields, lines)


def mcnemar_csv(resampled: Resampled) -> str:
    """Return one line per row, target and seed: McNemar's test against the reference."""
    fields = ["combiner", "target", "seed", "only_it", "only_reference", "p", "p_adjusted"]
    lines = [[getattr(one, name) for name in fields] for one in resampled.tests]
    return csv_text(["method", *fields[1:], "against"], [[*line, resampled.against] for line in lines])


def runs_csv(summary: Summary) -> str:
    """Return one line per run: its metric on test and validation, or why there is none."""
    fields = ["method", "target", "metric", "seed", "state", "test", "validation", "reason", "key"]
    fields += ["few_shot", "pool_size", "source_seed"]
    lines: list[list[object]] = []
    for cell in summary.cells:
        known = [cell.combiner, cell.target, cell.metric]
        keys = cell.keys or (None,) * len(cell.seeds)
        sized = [cell.few_shot, cell.pool_size]
        pools = cell.source_seeds or (None,) * len(cell.seeds)
        values = zip(cell.seeds, cell.test, cell.validation, keys, pools, strict=True)
        lines += [
            [*known, seed, "complete", test, right, None, key, *sized, pool]
            for seed, test, right, key, pool in values
        ]
        lines += [
            [*known, gap.seed, gap.state, None, None, gap.reason, None, *sized, gap.source_seed]
            for gap in cell.gaps
        ]
    return csv_text(fields, lines)


def coefficients_csv(summary: Summary) -> str:
    """Return one line a transfer, layer and source: mean, deviation and extremes of its coefficients."""
    fields = [
        "target",
        "combiner",
        "seed",
        "layer",
        "source",
        "mean",
        "std",
        "minimum",
        "maximum",
        "source_seed",
    ]
    lines = [[getattr(one, name) for name in fields] for one in summary.layers]
    return csv_text(fields, lines)


def tasks_csv(summary: Summary) -> str:
    """Return one line a task: what it is, and the rows of its splits."""
    fields = ["name", "role", "problem_type", "labels", "metric", "train", "validation", "test", "digest"]
    tasks = {(task.name, task.digest): task for one in summary.background for task in one.tasks}
    lines = [[getattr(one, name) for name in fields] for one in tasks.values()]
    return csv_text(["task", *fields[1:]], lines)


def csv_text(fields: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Return a CSV document as RFC 4180 has it, lines ended by LF; ``None`` is an empty field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(lines)
    return stream.getvalue()
