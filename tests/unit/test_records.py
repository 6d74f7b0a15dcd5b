"""The values that cross doors say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from adapterlab.errors import UsageError
from adapterlab.records import BackboneFacts, BackboneShape, PoolShape, Site, row_length
from tiny_models import random_examples


@pytest.mark.parametrize("rows", [1, 4, 9, 10, None])
def test_the_first_rows_are_the_same_rows(rows):
    examples = random_examples(9, 2, seed=0)
    first = examples.first(rows)
    assert len(first) == min(rows or 9, 9)
    for index in range(len(first)):
        one = first.token_ids[first.offsets[index] : first.offsets[index + 1]]
        same = examples.token_ids[examples.offsets[index] : examples.offsets[index + 1]]
        assert np.array_equal(one, same)
    assert np.array_equal(first.labels, examples.labels[: len(first)])


def test_points_are_numbered_layer_by_layer():
    pool = PoolShape(3, (Site("query", 8, 8), Site("value", 8, 4)), 2)
    assert [site.name for site in pool.points] == ["query", "value"] * 3
    assert [pool.point(site.name, layer) for layer in range(3) for site in pool.sites] == list(range(6))
    assert pool.points_by_width == {8: (0, 2, 4), 4: (1, 3, 5)}


def test_a_site_that_a_backbone_has_not_is_refused_with_those_it_has():
    shape = BackboneShape(2, 8, (Site("query", 8, 8), Site("value", 8, 4)))
    assert shape.site("value").output == 4
    with pytest.raises(UsageError, match="no site 'ffn'") as caught:
        shape.site("ffn")
    assert "query, value" in caught.value.remedy


def test_a_backbone_without_digests_has_no_identity():
    unknown = BackboneFacts("hub:x/y", None, None, None, None, None, None, "not downloaded")
    with pytest.raises(ValueError, match="not downloaded"):
        unknown.identity()


def test_a_tasks_own_length_is_for_the_default_only():
    assert row_length(128, 324) == 324
    assert row_length(64, 324) == 64
    assert row_length(128, None) == 128
    assert row_length(256, None) == 256
