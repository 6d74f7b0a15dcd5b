"""Ancestry as a tree."""

from __future__ import annotations

import json

import pytest

from adapterlab.catalog.lineage import MOST_CHILDREN
from adapterlab.errors import NotFoundError
from adapterlab.records import BackboneFacts
from catalogs import BACKBONE, BOTH_DATABASES, key, put_adapter, put_study, put_transfer, sql

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)


@pytest.fixture
def family(catalog):
    """Two adapters, a study of both, one of the first alone, and two transfers."""
    put_adapter(catalog, "a", task="glue/rte", task_digest=key("rte"))
    put_adapter(catalog, "b", task="glue/cola", task_digest=key("cola"))
    put_study(catalog, "s", "b", "a")
    put_study(catalog, "alone", "a", combiner="scalearn_uniform")
    put_transfer(catalog, "t0", "s", "b", "a", seed=0)
    put_transfer(catalog, "t1", "s", "b", "a", seed=1)
    catalog.record_backbone(BackboneFacts("package:mini", "bert", None, BACKBONE, None, None, None))
    return catalog


def shape(node, side):
    """Return (title, branches) of one side of a tree."""
    return node.title, [shape(branch, side) for branch in getattr(node, side)]


def test_a_transfer_goes_back_to_backbone_and_tasks(family):
    backbone = ("package:mini", [])
    assert shape(family.lineage(key("t0")), "parents") == (
        "glue/cb · scalearn · seed 0",
        [
            (
                "glue/cb · scalearn",
                [
                    ("glue/cola · pfeiffer · seed 0", [("glue/cola", []), backbone]),
                    ("glue/rte · pfeiffer · seed 0", [("glue/rte", []), backbone]),
                    ("glue/cb", []),
                ],
            )
        ],
    )


def test_an_adapter_knows_everything_made_from_it(family):
    assert shape(family.lineage(key("a")[:8]), "children") == (
        "glue/rte · pfeiffer · seed 0",
        [
            (
                "glue/cb · scalearn",
                [("glue/cb · scalearn · seed 0", []), ("glue/cb · scalearn · seed 1", [])],
            ),
            ("glue/cb · scalearn_uniform", []),
        ],
    )


def test_a_tree_is_json_with_metrics_and_states(family):
    sql(family, "UPDATE adapters SET state = 'corrupt' WHERE key = :key", key=key("b"))
    tree = json.loads(json.dumps(family.lineage(key("s")).to_json()))
    assert (tree["kind"], tree["metric"], tree["value"]) == ("study", "accuracy", 0.8)
    assert [parent["state"] for parent in tree["parents"]] == ["corrupt", "complete", None]
    assert [child["value"] for child in tree["children"]] == [0.75, 0.75]


def test_a_parent_that_is_gone_is_said_to_be_gone(family):
    sql(family, "DELETE FROM adapters WHERE key = :key", key=key("b"))
    parents = family.lineage(key("s")).parents
    assert [(one.title, one.state) for one in parents[:2]] == [
        ("no longer in the catalog", "missing"),
        ("glue/rte · pfeiffer · seed 0", "complete"),
    ]


def test_an_adapter_of_very_many_studies_shows_some_and_counts_the_rest(catalog):
    put_adapter(catalog, "a")
    for number in range(MOST_CHILDREN + 3):
        put_study(catalog, f"s{number}", "a", combiner=f"c{number}")
    tree = catalog.lineage(key("a"))
    assert (len(tree.children), tree.hidden_children) == (MOST_CHILDREN, 3)


def test_an_unknown_key_is_not_found(family):
    with pytest.raises(NotFoundError):
        family.lineage(key("nothing"))
