"""What records were made from: written with them, and again from them where it was lost."""

from __future__ import annotations

import pytest

from catalogs import (
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


@pytest.fixture
def family(catalog):
    """Adapters of their own, one whose setting a study chose, two of a joint run, and what was made from them."""
    put_adapter(catalog, "a")
    put_adapter(catalog, "b")
    put_study(catalog, "chooser")
    put_adapter(catalog, "chosen", settings={"study": key("chooser")})
    put_joint(catalog, "j", "glue/rte", "glue/cola")
    put_selection(catalog, "x", "b", "a")
    put_study(catalog, "s", "b", "a", selection=key("x"))
    put_transfer(catalog, "t", "s", "b", "a")
    return catalog


def rows(catalog):
    return sql(
        catalog,
        "SELECT child, position, parent, child_kind, parent_kind FROM lineage ORDER BY child, position",
    )


def test_of_a_whole_catalog_nothing_is_lost(family):
    assert family.lost_lineage() == []
    assert len(rows(family)) == 9


def test_each_lost_row_is_found_and_written_again_as_it_was(family):
    before = rows(family)
    for child, position, *_ in before:
        sql(
            family,
            "DELETE FROM lineage WHERE child = :child AND position = :place",
            child=child,
            place=position,
        )
        assert family.lost_lineage() == [child]
        assert family.lost_rows() == {}, "nothing has to be done again for it"
        assert family.restore_lineage() == [child]
        assert rows(family) == before
    sql(family, "DELETE FROM lineage")
    assert family.restore_lineage() == sorted({child for child, *_ in before})
    assert rows(family) == before


def test_of_what_must_be_done_again_it_comes_back_with_the_record(family):
    sql(family, "DELETE FROM lineage WHERE child = :child", child=key("t"))
    sql(family, "UPDATE transfers SET state = 'corrupt'")
    assert family.lost_lineage() == []
    put_transfer(family, "t", "s", "b", "a")
    assert [one.key for one in family.lineage(key("t")).parents] == [key("s")]
