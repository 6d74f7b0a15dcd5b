"""``platform report``: a sweep's results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapterlab import home
from adapterlab.api import report
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit_file, emit_json, note, stdout
from adapterlab.errors import UsageError
from adapterlab.given_files import given_path
from adapterlab.reporting import render
from adapterlab.reporting.significance import Significance, compare
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import Grid, grids


def command(
    sweeps: Annotated[
        list[str],
        typer.Argument(
            metavar="SWEEP...", help="Name or key of a submitted sweep; of several, rows are `SWEEP: ROW`."
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ROW", help="Compare every row with this one: permutation tests paired over seeds."
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"One of {', '.join(render.FORMATS)}.")
    ] = "text",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The same as --format markdown.")] = False,
    digits: Annotated[int, typer.Option(min=0, max=4, help="Decimals of scores in per cent.")] = 1,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="DIR", help="Write all formats, the numbers and pictures into a folder."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the results of a sweep, or of several together.

    First the test metric of each method on each target, mean and deviation over seeds; then what each
    method trains and how long that took, which differences chance explains (--against), and the sources
    with the largest coefficients.
    """
    form = "markdown" if as_markdown else form
    if form not in render.FORMATS:
        raise UsageError(f"no format {form!r}", remedy=f"Known: {', '.join(render.FORMATS)}.")
    summary = report(*sweeps)
    significance = None if against is None else compare(summary, against)
    tables = grids(summary, significance, digits=digits)
    if to is not None:
        _write(given_path(to, "--to"), summary, tables, significance)
    if json:
        from adapterlab.reporting.folder import document

        emit_json(document(summary, significance))
    elif form == "text":
        _show(tables)
    else:
        emit_file(_formatted(form, summary, tables, significance).rstrip("\n"))


def show(summary: Summary) -> None:
    """Print the tables for a person."""
    _show(grids(summary))


def _show(tables: list[Grid]) -> None:
    console = stdout()
    for place, grid in enumerate(tables):
        if place:
            console.print()
        console.print(render.drawn(grid))
        for sentence in grid.notes:
            console.print(sentence, style="dim", markup=False)


def _formatted(form: str, summary: Summary, tables: list[Grid], significance: Significance | None) -> str:
    if form == "markdown":
        return render.markdown(tables)
    if form == "latex":
        return render.latex(tables)
    if form == "html":
        return render.page(summary.sweep, tables)
    return render.cells_csv(summary, significance)


def _write(folder: Path, summary: Summary, tables: list[Grid], significance: Significance | None) -> None:
    from adapterlab.reporting.folder import write_report

    files = write_report(folder, summary, tables, significance, stores=home.stores())
    note(f"wrote {len(files)} files into {folder}: {', '.join(files)}")
