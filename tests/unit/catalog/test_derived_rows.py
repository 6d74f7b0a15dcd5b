"""Rows that only repeat what others say: found where they are gone, and written again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from adapterlab.catalog.derived_rows import are_described, missing, restore
from adapterlab.catalog.records import SweepStep
from adapterlab.records import BackboneFacts, ProblemType, StepKind, TaskFacts
from catalogs import (
    BACKBONE,
    BOTH_DATABASES,
    key,
    put_adapter,
    put_joint,
    put_selection,
    put_study,
    put_transfer,
    sql,
)

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)

TABLES = {
    "lineage": "child, position, parent, child_kind, parent_kind",
    "backbones": "digest",
    "tasks": "name, digest",
    "progress": "step_key, state",
}


@pytest.fixture
def filled(catalog):
    """A catalog with a record of every kind, and everything one can be made from."""
    put_study(catalog, "chooser")
    put_adapter(catalog, "a", settings={"study": key("chooser")})
    put_joint(catalog, "joint", "glue/rte", "glue/cb", settings={"study": key("chooser")})
    put_selection(catalog, "x", "a", "joint glue/rte")
    put_study(catalog, "s", "a", "joint glue/rte", selection=key("x"))
    put_study(catalog, "of several", task=None, task_digest=None, tasks={"glue/mrpc": key("mrpc rows")})
    put_transfer(catalog, "t", "s", "a", "joint glue/rte")
    return catalog


def rows(catalog, table):
    """Return what a table says, without times."""
    return sorted(map(tuple, sql(catalog, f"SELECT {TABLES[table]} FROM {table}")))


def test_a_whole_catalog_lacks_nothing(filled):
    found = missing(filled.database)
    assert (found.restorable, found.sweeps, str(found)) == (0, {}, "")
    assert filled.lost_rows() == {}


@pytest.mark.parametrize("table", TABLES)
def test_rows_that_are_gone_are_found_and_written_as_they_were(filled, table):
    before = rows(filled, table)
    if filled.database.is_sqlite:  # another program's connection, without foreign keys
        with closing(sqlite3.connect(str(filled.database.url.database))) as other, other:
            other.execute(f"DELETE FROM {table}")
    elif table in ("backbones", "tasks"):
        pytest.skip("PostgreSQL keeps what others refer to")
    else:
        sql(filled, f"DELETE FROM {table}")
    found = missing(filled.database)
    assert table.rstrip("s") in str(found)
    restore(filled.database, found)
    assert rows(filled, table) == before
    assert missing(filled.database).restorable == 0


def test_one_lost_parent_of_several_is_found(filled):
    before = rows(filled, "lineage")
    sql(filled, "DELETE FROM lineage WHERE child = :child AND position = 1", child=key("s"))
    found = missing(filled.database)
    assert list(found.lineage) == [key("s")]
    restore(filled.database, found)
    assert rows(filled, "lineage") == before


def test_nothing_is_said_to_be_made_from_a_record_that_is_not_there(filled):
    sql(filled, "DELETE FROM lineage")
    sql(filled, "DELETE FROM selections")
    restore(filled.database, missing(filled.database))
    assert key("x") not in {parent for _, _, parent, _, _ in rows(filled, "lineage")}


def test_a_sweep_with_a_gap_in_its_steps_or_without_its_last_is_named(catalog):
    steps = [
        SweepStep(place, key(str(place)), StepKind.SOURCE, "a step", (), str(place)) for place in range(3)
    ]
    catalog.open_sweep(key("whole"), "whole", "{}", steps)
    catalog.open_sweep(key("gap"), "with a gap", "{}", steps)
    catalog.open_sweep(key("none"), "without any", "{}", steps)
    catalog.open_sweep(key("last"), "without its last", "{}", steps)
    sql(catalog, "DELETE FROM sweep_steps WHERE sweep_key = :key AND position = 2", key=key("last"))
    sql(catalog, "DELETE FROM sweep_steps WHERE sweep_key = :key AND position = 1", key=key("gap"))
    sql(catalog, "DELETE FROM sweep_steps WHERE sweep_key = :key", key=key("none"))
    assert missing(catalog.database).sweeps == {
        key("gap"): "with a gap",
        key("none"): "without any",
        key("last"): "without its last",
    }


def test_a_backbone_and_a_task_are_described_once_more_than_their_digests_are_known(filled):
    backbone = BackboneFacts("folder:x", "bert", None, BACKBONE, key("t"), key("c"), None)
    task = TaskFacts("glue/rte", ProblemType.CLASSIFICATION, 2, ("no", "yes"), ("accuracy",), key("rte rows"))
    assert not are_described(filled.database, backbone, [task])
    filled.record_backbone(backbone)
    assert not are_described(filled.database, backbone, [task])
    filled.record_task(task)
    assert are_described(filled.database, backbone, [task])
