"""What a sweep records of a pool that exists already."""

from __future__ import annotations

from adapterlab.importing.pool import with_keys
from adapterlab.planning.steps import ExistingAdapter
from specs import spec


def test_adapters_are_recorded_by_key_and_the_rest_of_the_pool_as_it_was():
    wanted = spec(
        **{"pool.query": {"min_value": 0.5}, "pool.size": [1, 2], "pool.rule": "random", "pool.seed": 3}
    )
    found = ExistingAdapter("catalog:" + "a" * 64, "other/mr", None, "a" * 64, None, there=True)
    pool = with_keys(wanted, [found]).pool
    assert [one.source for one in pool.adapter] == ["catalog:" + "a" * 64]
    assert pool.query is None
    assert pool.model_dump(exclude={"adapter", "query"}) == wanted.pool.model_dump(
        exclude={"adapter", "query"}
    )
