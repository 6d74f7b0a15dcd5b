"""A report's tables as text: for the terminal, or as Markdown, LaTeX, HTML and CSV."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from adapterlab.reporting.significance import Significance
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import Column, Entry, Grid

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

FORMATS = ("text", "markdown", "latex", "html", "csv")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "·": r"$\cdot$",
}  # fmt: skip
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1f2933; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 .4rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e4e7eb; vertical-align: top }
th.text, td.text { text-align: left }
th small, td small { color: #616e7c; font-weight: normal }
td.best { font-weight: 700 } td.second { text-decoration: underline }
p.note { color: #616e7c; margin: .15rem 0; font-size: .87rem }
figure { margin: 1.2rem 0 } img { max-width: 100% }
"""


# -- terminal ---------------------------------------------------------------------------------------


def drawn(grid: Grid) -> Table:
    """Return a table for a rich console; its notes are not part of it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(grid.title), title_justify="left")
    for column in grid.columns:
        heading = Text(column.name)
        if column.detail:
            heading.append(f"\n{column.detail}", style="dim")
        table.add_column(heading, justify="right" if column.is_number else "left")
    for row in grid.rows:
        table.add_row(*(_drawn_entry(entry) for entry in row))
    return table


def _drawn_entry(entry: Entry) -> Text:
    from rich.text import Text

    style = {"best": "bold", "second": "underline", None: ""}[entry.mark]
    text = Text(entry.text if entry.spread is None else f"{entry.text} ± {entry.spread}", style=style)
    if entry.note:
        text.append(f"\n{entry.note}", style="not bold not underline dim")
    return text


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
    if grid.notes:
        lines += ["", *(f"*{_markdown_text(note)}*  " for note in grid.notes)]
    return "\n".join(lines).rstrip()


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
    notes = " ".join(grid.notes)
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


# -- HTML -------------------------------------------------------------------------------------------


def page(title: str, grids: Sequence[Grid], pictures: Mapping[str, str] | None = None) -> str:
    """Return one HTML page that needs nothing else but its pictures.

    Args:
        title: Of the page.
        grids: The tables.
        pictures: Captions by address, relative or ``data:``.
    """
    figures = [
        f'<figure><img src="{html.escape(address)}" alt="{html.escape(caption)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for address, caption in (pictures or {}).items()
    ]
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *map(_html_grid, grids), *figures])
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html_grid(grid: Grid) -> str:
    heads = "".join(
        f"<th{_html_class(column)}>{html.escape(column.name)}"
        f"{f'<br><small>{html.escape(column.detail)}</small>' if column.detail else ''}</th>"
        for column in grid.columns
    )
    rows = "\n".join(
        "<tr>"
        + "".join(_html_entry(entry, column) for entry, column in zip(row, grid.columns, strict=True))
        + "</tr>"
        for row in grid.rows
    )
    notes = "\n".join(f'<p class="note">{html.escape(note)}</p>' for note in grid.notes)
    title = html.escape(grid.title)
    return f"<h2>{title}</h2>\n<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n{notes}"


def _html_entry(entry: Entry, column: Column) -> str:
    classes = [*([] if column.is_number else ["text"]), *([entry.mark] if entry.mark else [])]
    kind = f' class="{" ".join(classes)}"' if classes else ""
    spread = "" if entry.spread is None else f" <small>± {html.escape(entry.spread)}</small>"
    note = f"<br><small>{html.escape(entry.note)}</small>" if entry.note else ""
    return f"<td{kind}>{html.escape(entry.text)}{spread}{note}</td>"


def _html_class(column: Column) -> str:
    return "" if column.is_number else ' class="text"'


# -- CSV --------------------------------------------------------------------------------------------


def cells_csv(summary: Summary, significance: Significance | None = None) -> str:
    """Return one line per row and target, for programs: metrics as they are (not per cent), nothing rounded."""
    fields = [
        "method", "is_baseline", "target", "metric", "mean", "std", "seeds", "expected_seeds", "failed",
        "parameters", "percent_of_backbone", "head_parameters", "seconds_a_run", "search_seconds",
    ]  # fmt: skip
    if significance is not None:
        fields += ["against", "difference", "pairs", "p", "p_adjusted", "effect"]
    lines = []
    for cell in summary.cells:
        whole, count = summary.backbone_parameters, cell.parameters
        line = [
            cell.combiner, cell.is_baseline, cell.target, cell.metric, cell.mean, cell.std, len(cell.test),
            cell.expected_seeds, sum(gap.state == "failed" for gap in cell.gaps), count,
            100 * count / whole if whole and count is not None else None,
            cell.head_parameters, cell.seconds_a_run, cell.search_seconds,
        ]  # fmt: skip
        if significance is not None:
            one = significance.of(cell.combiner, cell.target)
            line += [significance.against]
            line += [one.difference, one.pairs, one.p, one.p_adjusted, one.effect] if one else [None] * 5
        lines.append(line)
    return csv_text(fields, lines)


def runs_csv(summary: Summary) -> str:
    """Return one line per run: its metric on test and validation, or why there is none."""
    fields = ["method", "target", "metric", "seed", "state", "test", "validation", "reason"]
    lines: list[list[object]] = []
    for cell in summary.cells:
        known = [cell.combiner, cell.target, cell.metric]
        values = zip(cell.seeds, cell.test, cell.validation, strict=True)
        lines += [[*known, seed, "complete", test, validation, None] for seed, test, validation in values]
        lines += [[*known, gap.seed, gap.state, None, None, gap.reason] for gap in cell.gaps]
    return csv_text(fields, lines)


def coefficients_csv(summary: Summary) -> str:
    """Return one line a transfer, layer and source: mean, deviation and extremes of its coefficients."""
    fields = ["target", "combiner", "seed", "layer", "source", "mean", "std", "minimum", "maximum"]
    lines = [[getattr(one, name) for name in fields] for one in summary.layers]
    return csv_text(fields, lines)


def csv_text(fields: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Return a CSV document as RFC 4180 has it, lines ended by LF; ``None`` is an empty field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(lines)
    return stream.getvalue()
