"""Ranges among settings are checked where they stand: names, both ends, and what a search can do with them."""

from __future__ import annotations

import pytest

from adapterlab.spec.plugin_checks import plugin_complaints

GOOD = {"pool": {"tasks": ["glue/rte", "glue/mrpc"]}, "targets": {"tasks": ["glue/rte"]}}


def complaints(**tables) -> dict[tuple, str]:
    return {one.path: f"{one.message} {one.hint}" for one in plugin_complaints({**GOOD, **tables})}


def of_settings(settings, method="lora") -> dict[str, str]:
    found = complaints(baseline=[{"method": method, "settings": settings}])
    return {".".join(map(str, path[3:])): message for path, message in found.items()}


def test_ranges_and_choices_stand_among_a_methods_settings():
    assert not of_settings({"r": {"choices": [2, 4]}, "alpha": {"low": 4, "high": 32, "log": True}})


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"rank": {"choices": [2, 4]}}, "rank", 'unknown key "rank"'),
        ({"r": {"choices": [2, 0]}}, "r", "must be at least 1, got 0"),
        ({"r": {"low": 0.5, "high": 4.0}}, "r", "expected a whole number, got 0.5"),
        ({"r": {"low": 8, "high": 4}}, "r.low", "low must be less than high"),
        ({"r": {"low": 8}}, "r.high", "missing"),
        ({"r": {"choices": []}}, "r.choices", "at least 1 item"),
        ({"targets": {"choices": [1, 2]}}, "targets", "expected a list"),
    ],
)
def test_what_no_value_could_be_is_told_where_it_stands(settings, place, said):
    found = of_settings(settings)
    assert said in found.get(place, found.get(place.split(".")[0], str(found)))


def test_one_fault_does_not_hide_the_others():
    found = of_settings(
        {"rank": {"choices": [2, 4]}, "alpha": {"low": 16, "high": 4}, "r": {"choices": [0, 1]}}
    )
    assert {name.split(".")[0] for name in found} == {"rank", "alpha", "r"}


def test_a_grid_has_no_ranges_wherever_they_stand():
    rate = {"low": 1e-4, "high": 1e-2}
    found = complaints(
        search={"sampler": "grid"},
        source={"lr": rate},
        transfer={"warmup_ratio": {"low": 0.0, "high": 0.2}, "batch_size": {"choices": [8, 16]}},
        adapter={"settings": {"reduction_factor": {"low": 4, "high": 16}}},
        baseline=[{"method": "lora", "lr": rate, "settings": {"r": {"choices": [2, 4]}}}],
    )
    places = {path for path, said in found.items() if "not ranges" in said and path[0] != "search"}
    assert places == {
        ("source", "lr"),
        ("transfer", "warmup_ratio"),
        ("adapter", "settings", "reduction_factor"),
        ("baseline", 0, "lr"),
    }


def test_a_searched_baseline_has_a_name_of_its_own():
    named = {"method": "lora", "name": "scalearn"}
    assert not complaints(baseline=[named])
    found = complaints(baseline=[{**named, "lr": {"choices": [1e-3, 1e-4]}}])
    assert "a combiner is" in found["baseline", 0, "name"]


def test_adapters_of_a_pool_are_searched_only_where_they_may_differ():
    found = complaints(adapter={"method": "compacter_pp", "settings": {"phm_dim": {"choices": [2, 4]}}})
    assert "share their phm_dim: 2 and 4" in found["adapter", "settings", "phm_dim"]
    assert not complaints(adapter={"settings": {"reduction_factor": {"choices": [2, 4]}}})
    assert not complaints(
        adapter={"method": "compacter_pp", "settings": {"phm_dim": {"choices": [2, 4]}}},
        combiner={"kind": []},
    )


def test_a_search_may_start_from_values_of_the_training_it_searches():
    tables = {"transfer": {"batch_size": {"choices": [8, 16]}}, "search": {"start_from": {"batch_size": 8}}}
    assert not complaints(**tables)
    found = complaints(**{**tables, "search": {"start_from": {"batch_size": 9}}})
    assert "is searched in 8, 16" in found["search", "start_from", "batch_size"]
