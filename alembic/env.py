"""How Alembic reaches the catalog: the connection ``migrate.py`` hands over, or the home's own.

``alembic revision --autogenerate -m "..."`` at the top of the repository compares the models with
the database that ``ADAPTERLAB_CATALOG`` (default: the home folder's) names.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, text

from adapterlab.catalog.database import POSTGRES_SCHEMA, Database
from adapterlab.catalog.schema import VERSION_TABLE
from adapterlab.catalog.tables import Base, JsonValue, UtcTime
from adapterlab.home import stores


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Write plain types into migrations: a migration must not change when a model's type does."""
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JsonValue):
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def migrate(connection: Connection) -> None:
    """Run the migrations of this command on a connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        compare_type=True,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("offline SQL is not offered; use `platform db upgrade`")
if given is not None:
    migrate(given)
else:
    database = Database(stores().catalog)
    with database.engine.begin() as own:
        if not database.is_sqlite:
            own.execute(text(f"SET LOCAL search_path TO {POSTGRES_SCHEMA}"))
        migrate(own)
