"""``platform report``: a sweep's results."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import Annotated

import typer

from adapterlab.api import open_catalog, report
from adapterlab.cli.layout import Cell, Head, Piece, Sheet
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_file, emit_json, matrix, note
from adapterlab.errors import NotFoundError, UsageError
from adapterlab.given_files import given_path
from adapterlab.home import stores
from adapterlab.reporting import render
from adapterlab.reporting.evidence import gather, majorities
from adapterlab.reporting.figures import report_figures
from adapterlab.reporting.folder import document, whole_page, write_page, write_report
from adapterlab.reporting.grid import Entry, Grid
from adapterlab.reporting.intervals import Read, Resampled, resample
from adapterlab.reporting.predictions import reader, write_predictions
from adapterlab.reporting.settings import report_settings
from adapterlab.reporting.significance import Significance, compare
from adapterlab.reporting.summary import Summary
from adapterlab.reporting.tables import grids, task_rows
from adapterlab.spec.model import ReportSpec


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
    equal_within: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=100.0,
            metavar="POINTS",
            help="With --against: how probable it is that rows differ by no more than so many points.",
        ),
    ] = None,
    digits: Annotated[
        int | None, typer.Option(min=0, max=4, help="Decimals of scores in per cent; 1.", show_default=False)
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="DIR", help="Write all formats, the numbers and pictures into a folder."
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            "--html", metavar="FILE", help="Write one HTML file that holds everything, pictures too; to send."
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=100,
            metavar="N",
            help="Add 95 % intervals over test rows and seeds, from N bootstrap samples; with --against of the "
            "differences too, and McNemar's tests.",
        ),
    ] = None,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Write what each run answered on the test rows into a folder, one .npz each."
        ),
    ] = None,
    tasks: Annotated[
        bool,
        typer.Option("--tasks", help="Add the table of tasks: type, labels, metric, rows of each split."),
    ] = False,
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
    settings = report_settings(summary)
    significance = _significance(summary, settings, against, equal_within)
    against = None if significance is None else significance.against
    bootstrap = settings.bootstrap if bootstrap is None else bootstrap
    digits = settings.digits if digits is None else digits
    resampled: Resampled | None = None
    shown = bool(to or html or form == "html")
    reads = shown or bootstrap is not None or predictions is not None
    with open_catalog() if reads else nullcontext() as catalog:
        read: Read = (lambda _: None) if catalog is None else cache(reader(catalog))
        evidence = gather(summary, stores().tracking, read) if shown else None
        majority = None if evidence is None else evidence.majority
        if bootstrap is not None:
            resampled = resample(summary, read, resamples=bootstrap, against=against)
            majority = majority or majorities(summary, read)
        if predictions is not None:
            names = write_predictions(given_path(predictions, "--predictions"), summary, read)
            note(
                f"wrote test predictions of {len(names) - 1} runs into {predictions}, and their list: {names[-1]}"
            )
    tables = grids(summary, significance, resampled=resampled, digits=digits, majority=majority)
    of_tasks = task_rows(summary.background) if tasks else None
    printed = tables if of_tasks is None else [*tables, of_tasks]
    figures = (
        report_figures(summary, against=against, stores=stores() if to is not None else None)
        if shown
        else None
    )
    if to is not None:
        files = write_report(
            given_path(to, "--to"),
            summary,
            tables,
            significance,
            evidence,
            resampled=resampled,
            figures=figures,
        )
        note(f"wrote {len(files)} files into {to}: {', '.join(files)}")
    if html is not None:
        write_page(given_path(html, "--html"), summary, tables, evidence, figures=figures)
        note(f"wrote {html}")
    if json:
        emit_json(
            document(summary, significance, evidence, resampled, figures=figures if to is not None else None)
        )
    elif form == "text":
        _show(printed)
    elif form == "html":
        emit_file(whole_page(summary, tables, evidence=evidence, figures=figures).rstrip("\n"))
    else:
        emit_file(_formatted(form, summary, printed, significance, resampled).rstrip("\n"))


def _significance(
    summary: Summary, settings: ReportSpec, against: str | None, equal_within: float | None
) -> Significance | None:
    """Compare rows as the command line says, else as the spec does."""
    named = against or settings.against
    if named is None:
        if equal_within is not None:
            raise UsageError(
                "--equal-within is a distance to a row, and none is named", remedy="Name it: --against ROW."
            )
        return None
    points = settings.equal_within if equal_within is None else equal_within
    try:
        return compare(summary, named, equal_within=None if points is None else points / 100)
    except NotFoundError as error:
        if against is not None:
            raise
        raise NotFoundError(
            f"report.against in the spec of {summary.sweep}: {error.message}",
            remedy=f"{error.remedy or ''} --against ROW names another one.".strip(),
        ) from error


def show(summary: Summary) -> None:
    """Print the tables for a person."""
    _show(grids(summary))


def _show(tables: list[Grid]) -> None:
    for place, grid in enumerate(tables):
        if place:
            emit("")
        compared = any(column.is_number for column in grid.columns)
        matrix(_sheet(grid), title=grid.title, notes=grid.notes, marks=grid.marks, compared=compared)


def _sheet(grid: Grid) -> Sheet:
    heads = tuple(Head(one.name, one.detail or "", one.is_number, one.group) for one in grid.columns)
    rows = tuple(
        tuple(
            _cell(entry, prose=column is grid.columns[-1] and not column.is_number)
            for entry, column in zip(row, grid.columns, strict=True)
        )
        for row in grid.rows
    )
    return Sheet(heads, rows, rule=True)


def _cell(entry: Entry, *, prose: bool) -> Cell:
    style = {"best": "bold", "second": "underline", None: ""}[entry.mark]
    text = entry.text if entry.spread is None else f"{entry.text} ± {entry.spread}"
    value = Piece(text, style, breaks=prose)
    if entry.note is None:
        return (value,)
    return (value, Piece(entry.note, "dim", breaks=True))


def _formatted(
    form: str,
    summary: Summary,
    tables: list[Grid],
    significance: Significance | None,
    resampled: Resampled | None,
) -> str:
    if form == "markdown":
        return render.markdown(tables)
    if form == "latex":
        return render.latex(tables)
    return render.cells_csv(summary, significance, resampled)
