"""``platform report``: a sweep's results."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import report
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, stdout
from adapterlab.report.render import influence_table, markdown, result_table
from adapterlab.report.summary import Summary


def command(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Name or key of a submitted sweep.")],
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    json: JsonOption = False,
) -> None:
    """Show a sweep's results: test metric of each method on each target, mean and deviation over seeds."""
    summary = report(sweep)
    if json:
        emit_json(summary.to_json())
    elif as_markdown:
        emit(markdown(summary))
    else:
        show(summary)


def show(summary: Summary) -> None:
    """Print the tables for a person."""
    console = stdout()
    console.print(result_table(summary))
    influences = influence_table(summary)
    if influences is not None:
        console.print(influences)
