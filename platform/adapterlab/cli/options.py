"""Arguments and options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="The spec, a TOML file; - reads standard input.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key, for example --set search.trials=4; may be given many times.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
SweepArgument = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help="Name of a submitted sweep, its key, or the first digits of that (4 or more)."
    ),
]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A key, or its first digits (4 or more).")]
BackboneNowOption = Annotated[
    str | None,
    typer.Option(
        "--backbone", metavar="SOURCE", help="Where the backbone is now: a folder, package:… or hub:…@…"
    ),
]
