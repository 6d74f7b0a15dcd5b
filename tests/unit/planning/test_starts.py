"""A search's start is its settings: they are in the key, whoever they come from."""

from __future__ import annotations

from dataclasses import replace

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.starts import EarlierStudy
from specs import facts, spec

BEST = {"lr": 2e-3, "init_scale": 2.0, "dropout": 0.3}


def earlier(key: str, task: str, combiner: str = "scalearn", **settings: float) -> EarlierStudy:
    return EarlierStudy(key * 64, task, f"{task} · {combiner}", combiner, {**BEST, **settings})


def studies(found=None, **changes):
    wanted = spec(**changes)
    return {
        step.title: step for step in compile_plan(wanted, replace(facts(wanted), earlier=found or {})).studies
    }


def starts(found=None, **changes):
    return {title: list(step.job.search.start) for title, step in studies(found, **changes).items()}


def test_a_setting_is_for_every_combiner_but_where_it_names_one():
    found = starts(**{"search.start_from": [{"lr": 2e-3}, {"combiner": "scalearn", "dropout": 0.3}]})
    assert found["rte · scalearn"] == [{"lr": 2e-3}, {"dropout": 0.3}]
    assert found["rte · scalearn_uniform"] == [{"lr": 2e-3}]


def test_dimensions_that_a_combiner_has_not_are_left_out():
    changes = {"combiner.kind": ["scalearn", "adapterfusion"], "search.lr": 2e-3}
    found = starts(**changes, **{"search.start_from": {"init_scale": 2.0, "lr": 2e-3}})
    assert found["rte · adapterfusion"] == [{"lr": 2e-3}]
    assert starts(**changes, **{"search.start_from": {"init_scale": 2.0}})["rte · adapterfusion"] == []


def test_an_earlier_sweep_gives_the_best_of_the_same_target_else_of_all():
    before = [
        earlier("a", "glue/rte", lr=3e-3),
        earlier("b", "glue/mrpc", lr=4e-3),
        earlier("c", "glue/rte", "adapterfusion", lr=5e-5),
    ]
    found = starts({"before": before}, **{"search.start_from": "before"})
    assert [one["lr"] for one in found["rte · scalearn"]] == [3e-3]
    assert [one["lr"] for one in found["cb · scalearn"]] == [3e-3, 4e-3]
    assert found["cb · scalearn_uniform"] == []


def test_a_search_that_chooses_its_combiner_names_it_in_its_start():
    changes = {"combiner.kind": "auto", "combiner.among": ["scalearn", "adapterfusion"]}
    found = starts({"a": [earlier("a", "glue/rte")]}, **changes, **{"search.start_from": "a"})
    assert found["rte · auto"][0]["combiner"] == "scalearn"
    assert found["rte · auto"][0]["scalearn.lr"] == 2e-3


def test_the_same_settings_have_one_key_whoever_they_are_of():
    named = studies({"before": [earlier("a", "glue/rte")]}, **{"search.start_from": "before"})
    told = studies(**{"search.start_from": {"combiner": "scalearn", **BEST}})
    again = studies(**{"search.start_from": [{"combiner": "scalearn", **BEST}] * 2})
    for title in ("rte · scalearn", "cb · scalearn"):
        assert named[title].key == told[title].key == again[title].key
    assert named["rte · scalearn"].key != studies()["rte · scalearn"].key
    assert named["rte · scalearn_uniform"].key == studies()["rte · scalearn_uniform"].key


def test_other_settings_have_another_search():
    one, two = (
        studies(**{"search.start_from": {"combiner": "scalearn", "lr": value}})["rte · scalearn"]
        for value in (2e-3, 3e-3)
    )
    assert one.job.search_key != two.job.search_key
