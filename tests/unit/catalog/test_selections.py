"""Selections of sources in the catalog, and the lineage of what was chosen."""

from __future__ import annotations

import math

import pytest

from adapterlab.catalog.copying import copy
from adapterlab.catalog.integrity import lost_rows
from adapterlab.catalog.records import RankedSource
from adapterlab.errors import ConflictError, NotFoundError, UsageError
from adapterlab.exporting.stored_models import trained_record
from adapterlab.records import State
from adapterlab.reporting.predictions import predictions_of_run
from catalogs import (
    BOTH_DATABASES,
    key,
    open_at,
    put_adapter,
    put_selection,
    put_study,
    put_transfer,
    selection,
    sql,
)

on_both = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
on_sqlite = pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)


@on_both
def test_a_selection_comes_back_as_it_went_in(catalog):
    put_adapter(catalog, "a")
    put_adapter(catalog, "b")
    unknown = RankedSource("glue/rte", math.nan, key("b"), "mine")
    ranked = (RankedSource("glue/rte", 0.75, key("a")), unknown)
    stored = put_selection(catalog, "x", sources=ranked, settings={"seed": 3})
    found = catalog.get_selection(key("x")[:12])
    assert found.sources[0] == ranked[0]
    assert math.isnan(found.sources[1].score)
    assert (found.sources[1].label, found.settings, found.value) == ("mine", {"seed": 3}, 0.9)
    assert [one.key for one in catalog.selections(task="cb", rule="adapter_similarity")] == [stored.key]
    assert catalog.selections(rule="text_similarity") == []
    assert catalog.status([stored.key])[stored.key].state is State.COMPLETE


@on_both
def test_lineage_leads_from_a_transfer_to_the_selection_and_what_it_looked_at(catalog):
    for name in "abc":
        put_adapter(catalog, name)
    put_selection(catalog, "x", "a", "b", "c")
    put_study(catalog, "s", "a", selection=key("x"))
    put_transfer(catalog, "t", "s", "a")
    (study,) = catalog.lineage(key("t")).parents
    assert [node.kind for node in study.parents] == ["source", "selection", "task"]
    looked_at = study.parents[1].parents
    assert [node.kind for node in looked_at] == ["source", "source", "source", "task"]
    (of_adapter,) = catalog.lineage(key("c")).children
    assert of_adapter.key == key("x")
    with pytest.raises(ConflictError, match="study"):
        catalog.remove(key("x"))
    with pytest.raises(ConflictError, match="selection"):
        catalog.remove(key("c"))


@on_both
def test_what_was_chosen_and_made_can_be_removed_from_its_end(catalog):
    put_adapter(catalog, "a")
    put_selection(catalog, "x", "a")
    put_study(catalog, "s", "a", selection=key("x"))
    put_transfer(catalog, "t", "s", "a")
    assert catalog.coefficients(key("t"))
    for name in ("t", "s", "x", "a"):
        catalog.remove(key(name))
    assert catalog.coefficients(key("t")) == []
    left = [*catalog.selections(), *catalog.studies(), *catalog.transfers(), *catalog.adapters()]
    assert left == []


@on_both
def test_an_adapter_is_made_from_the_study_that_chose_its_setting(catalog):
    chooser = put_study(catalog, "chooser", task="glue/rte", task_digest=key("rte rows"), combiner="pfeiffer")
    put_adapter(catalog, "a", settings={"adapter": {}, "training": {}, "study": chooser.key})
    node = catalog.lineage(key("a"))
    assert [parent.kind for parent in node.parents] == ["study", "task", "backbone"]
    assert node.parents[0].key == chooser.key
    assert [child.key for child in catalog.lineage(chooser.key).children] == [key("a")]
    with pytest.raises(ConflictError, match="was made from it"):
        catalog.remove(chooser.key)


@on_sqlite
def test_a_copy_takes_the_selection_and_the_studies_that_chose_settings_along(catalog_url, tmp_path):
    with (
        open_at(catalog_url, tmp_path) as catalog,
        open_at(f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "other") as other,
    ):
        chooser = put_study(catalog, "chooser", task="glue/rte", task_digest=key("rte rows"))
        put_adapter(catalog, "a", settings={"study": chooser.key})
        put_adapter(catalog, "b")
        put_selection(catalog, "x", "a", "b")
        put_study(catalog, "s", "a", selection=key("x"))
        put_transfer(catalog, "t", "s", "a")
        done = copy(catalog, [key("t")], other)
        assert all(new for _, new in done)
        places = [record.key for record, _ in done]
        for before, after in (("chooser", "a"), ("a", "x"), ("b", "x"), ("x", "s"), ("s", "t")):
            assert places.index(key(before)) < places.index(key(after))
        assert other.get_selection(key("x")).sources == catalog.get_selection(key("x")).sources
        assert other.get_study(key("s")).selection == key("x")
        assert [node.kind for node in other.lineage(key("a")).parents] == ["study", "task", "backbone"]


@on_sqlite
def test_a_study_without_its_selection_is_refused_and_found_by_a_check(catalog_url, tmp_path):
    with open_at(catalog_url, tmp_path) as catalog:
        put_adapter(catalog, "a")
        with pytest.raises(NotFoundError, match="selection"):
            put_study(catalog, "s", "a", selection=key("x"))
        put_selection(catalog, "x", "a")
        put_study(catalog, "t", "a", selection=key("x"))
        assert lost_rows(catalog.database) == {}
        sql(catalog, "DELETE FROM selections")
        assert lost_rows(catalog.database) == {
            key("t"): f"its selection {key('x')[:12]}",
            key("x"): "its record",
        }


@on_sqlite
def test_adapters_it_ranks_have_to_be_there_but_texts_have_none(catalog_url, tmp_path):
    with open_at(catalog_url, tmp_path) as catalog:
        with pytest.raises(NotFoundError, match="source adapter"):
            put_selection(catalog, "x", "a")
        texts = selection("y", sources=(RankedSource("glue/rte", 0.5),), rule="text_similarity")
        put_selection(catalog, "y", sources=texts.sources, rule=texts.rule)
        assert [node.kind for node in catalog.lineage(key("y")).parents] == ["task", "backbone"]


@on_sqlite
def test_it_has_neither_weights_nor_predictions(catalog_url, tmp_path):
    with open_at(catalog_url, tmp_path) as catalog:
        put_adapter(catalog, "a")
        put_selection(catalog, "x", "a")
        with pytest.raises(UsageError, match="a selection of sources, which has no weights"):
            trained_record(catalog, key("x"))
        with pytest.raises(UsageError, match="a selection of sources, which has no test predictions"):
            predictions_of_run(catalog, key("x"))
