"""Tables written as classes, without SQLAlchemy's object mapper, and their column types.

The catalog maps no objects: it needs names, types and keys. The mapper's import and its instrumenting of
13 classes cost every command that looks into the catalog 80 ms, a sixth of what it may take.

    class Claim(Base):
        __tablename__ = "claims"
        step_key: ColumnElement[str] = column(Digest, primary_key=True)
        owner: ColumnElement[str | None]

``Claim.owner`` is then the column, ``Claim.__table__`` the table, and ``Claim`` itself stands for it in
``update`` and ``insert``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, DateTime, Dialect, Float, Integer, MetaData, String, Table, TypeDecorator
from sqlalchemy.types import NullType, TypeEngine


class UtcTime(TypeDecorator[datetime]):
    """A time with zone UTC on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; refuse a time without zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a stored time needs a zone, got {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonValue(TypeDecorator[Any]):
    """JSON, as ``jsonb`` on PostgreSQL; imports that dialect only there. ``None`` is NULL."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the database's own type."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))


_COLUMN = "ColumnElement["
_NULLABLE = " | None"
_TYPES: dict[str, type[TypeEngine[Any]] | TypeEngine[Any]] = {
    "str": String,
    "int": Integer,
    "float": Float(53),
    "datetime": UtcTime(),
    "dict[str, Any]": JsonValue(),
    "list[Any]": JsonValue(),
}


def column(*arguments: Any, primary_key: bool = False, index: bool = False) -> Any:
    """Return a column that gets its name, and what is not said here, from its annotation.

    Args:
        *arguments: A type, unless the annotation says it, and foreign keys.
        primary_key: Whether it is in the primary key.
        index: Whether it has an index of its own.
    """
    return Column(*arguments, primary_key=primary_key, index=index or None)


class Base:
    """Base of all tables; every constraint has a name, so that migrations can drop it."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[Any, ...]] = ()
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        columns = [
            _named(cls, name, annotation.removeprefix(_COLUMN).removesuffix("]"))
            for name, annotation in cls.__annotations__.items()
            if annotation.startswith(_COLUMN)
        ]
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns, *cls.__table_args__)

    @classmethod
    def __clause_element__(cls) -> Table:
        """Return the table; SQLAlchemy asks whatever it is given for it."""
        return cls.__table__


def _named(cls: type[Base], name: str, said: str) -> Column[Any]:
    """Complete a class's column by its annotation, or make it of the annotation alone."""
    found: Column[Any] = cls.__dict__[name] if name in cls.__dict__ else column()
    if isinstance(found.type, NullType) and not found.foreign_keys:
        declared = _TYPES[said.removesuffix(_NULLABLE)]
        found.type = declared() if isinstance(declared, type) else declared
    found.name = found.key = name
    found.nullable = said.endswith(_NULLABLE)
    setattr(cls, name, found)
    return found
