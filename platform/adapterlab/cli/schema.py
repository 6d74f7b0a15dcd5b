"""``platform schema``: the spec's JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from adapterlab.cli.output import emit_json, note
from adapterlab.errors import AdapterlabError
from adapterlab.spec.schema import json_schema

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write it to a file instead of standard output.")
]


def command(out: OutOption = None) -> None:
    """Print the spec's JSON Schema, with the installed plug-ins, for completion in editors.

    Put `#:schema ./adapterlab.schema.json` on the first line of a spec; Taplo, Tombi and Even Better
    TOML then complete keys, show what they mean and mark mistakes.
    """
    schema = json_schema()
    if out is None:
        emit_json(schema)
        return
    try:
        out.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise AdapterlabError(f"cannot write {out}: {error.strerror}", remedy="name another file") from None
    note(f"wrote {out}; put '#:schema {out}' on the first line of a spec")
