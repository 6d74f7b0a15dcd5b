"""``platform db``: the catalog's schema."""

from __future__ import annotations

from contextlib import closing

import typer

from adapterlab.catalog.database import Database
from adapterlab.catalog.migrate import NEWER_REMEDY, SchemaStatus, schema_status, upgrade
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json
from adapterlab.home import stores

app = typer.Typer(help="Create, upgrade and check the catalog's schema.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_schema(json: JsonOption = False) -> None:
    """Create the catalog's schema, or bring it to this version; safe to run at any time.

    Two upgrades at once wait for each other. An upgrade that is interrupted leaves the old schema.
    """
    where = stores()
    with closing(Database(where.catalog)) as database:
        before = upgrade(database, where.locks)
        after = schema_status(database)
    if json:
        emit_json({**_document(after), "before": before.current})
    elif before.at_head:
        emit(f"{after.database} is at {after.head} already")
    elif before.current is None:
        emit(f"{after.database} created at {after.head}")
    else:
        emit(f"{after.database} upgraded from {before.current} to {after.head}")


@app.command()
def status(json: JsonOption = False) -> int:
    """Show where the schema stands; exit code 5 if this version cannot use it as it is."""
    with closing(Database(stores().catalog)) as database:
        found = schema_status(database)
    if json:
        emit_json(_document(found))
    else:
        emit(f"{found.database}: {_sentence(found)}")
    return 0 if found.at_head or found.current is None else 5


app.command("current", hidden=True)(status)


def _document(found: SchemaStatus) -> dict[str, object]:
    return {
        "database": found.database,
        "current": found.current,
        "head": found.head,
        "at_head": found.at_head,
        "newer": found.newer,
    }


def _sentence(found: SchemaStatus) -> str:
    if found.current is None:
        return "no catalog yet; the first `platform submit` or `platform db upgrade` creates it"
    if found.at_head:
        return f"at {found.head}, up to date"
    if found.newer:
        return f"{found.comparison}. {NEWER_REMEDY}."
    return f"at {found.current}, older than {found.head}; run `platform db upgrade`"
