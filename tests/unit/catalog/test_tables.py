"""Tables from annotated classes, and column types that mean the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, ColumnElement, MetaData, String, Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from adapterlab.catalog.tables import Base, JsonValue, UtcTime, column
from catalogs import BOTH_DATABASES, open_at

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=ZONES,
)
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}


@pytest.fixture
def base(monkeypatch):
    """A base whose tables are not the catalog's."""
    monkeypatch.setattr(Base, "metadata", MetaData(naming_convention=Base.metadata.naming_convention))
    return Base


def test_a_class_is_a_table_whose_columns_are_as_annotated(base):
    class Thing(base):
        __tablename__ = "things"
        key: ColumnElement[str] = column(String(64), primary_key=True)
        size: ColumnElement[int | None] = column(BigInteger)
        value: ColumnElement[float | None]
        note: ColumnElement[str] = column(index=True)
        not_a_column: int = 3

    table = Thing.__table__
    assert [one.name for one in table.columns] == ["key", "size", "value", "note"]
    assert [one.nullable for one in table.columns] == [False, True, True, False]
    assert table.c.value.type.precision == 53
    assert isinstance(table.c.size.type, BigInteger), "what is said beats the annotation"
    assert Thing.value is table.c.value
    assert [index.name for index in table.indexes] == ["ix_things_note"]
    assert table.primary_key.name == "pk_things"
    assert select(Thing).get_final_froms() == [table]


def test_an_annotation_that_is_no_column_type_is_an_error_at_once(base):
    with pytest.raises(KeyError, match="complex"):

        class Thing(base):
            __tablename__ = "things"
            key: ColumnElement[complex]


@given(time=TIMES, name=st.sampled_from(sorted(DIALECTS)))
def test_a_time_comes_back_as_the_same_moment_in_utc(time, name):
    kind, dialect = UtcTime(), DIALECTS[name]
    stored = kind.process_bind_param(time, dialect)
    assert (stored.tzinfo is None) == (name == "sqlite")
    found = kind.process_result_value(stored, dialect)
    assert found == time
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="needs a zone"):
        UtcTime().process_bind_param(datetime(2026, 1, 1), DIALECTS["sqlite"])  # noqa: DTZ001


@pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)
def test_both_databases_give_back_what_was_stored(database_url, tmp_path):
    when = datetime(2026, 11, 28, 9, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    values = {"ω": [1, 2.5, None, {"nested": "\u2028"}], "empty": {}}
    table = Table("probe", MetaData(), Column("at", UtcTime()), Column("json", JsonValue()))
    with open_at(database_url, tmp_path) as catalog:

        def work(connection):
            table.create(connection)
            connection.execute(insert(table), [{"at": when, "json": values}, {"at": None, "json": values}])
            return connection.execute(select(table)).all()

        first, second = catalog.database.write(work)
    assert (first.at, first.at.tzinfo, first.json) == (when, UTC, values)
    assert second.at is None
