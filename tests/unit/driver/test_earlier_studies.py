"""The sweeps and studies a search starts from are looked up in the catalog, and refused at their line."""

from __future__ import annotations

import json

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.store import open_catalog
from adapterlab.driver.earlier_studies import earlier_studies
from adapterlab.driver.preview import compile_spec
from adapterlab.errors import SpecError
from adapterlab.records import StepKind
from adapterlab.spec.load import LoadedSpec, load_spec
from catalogs import key, put_adapter, put_study
from tiny_world import write_world

BEST = {"lr": 4e-3, "init_scale": 2.0, "dropout": 0.3}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A spec, and a catalog with the sweeps "before" (complete), "half" (not) and two named "twice"."""
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    spec = write_world(tmp_path)
    stores = load_spec(spec).stores()
    target = load_spec(spec).spec.targets.tasks[0]
    with open_catalog(stores.catalog, stores.blobs, locks=stores.locks) as catalog:
        put_adapter(catalog, "source")
        put_study(catalog, "good", "source", task=target, best_settings=BEST)
        put_study(catalog, "wide", "source", task=target, best_settings={**BEST, "lr": 0.5})
        put_study(catalog, "other", "source", task=target, combiner="adapterfusion")
        for number, (name, studies) in enumerate(
            [
                ("before", ["good"]),
                ("half", ["good", "missing"]),
                ("twice", ["good"]),
                ("twice", ["good"]),
                ("wide", ["wide"]),
                ("fusion", ["other"]),
            ]
        ):
            steps = [
                SweepStep(place, key(one), StepKind.STUDY, one, id=f"study/{target}/{one}")
                for place, one in enumerate(studies)
            ]
            catalog.open_sweep(key(f"sweep {number}"), name, json.dumps({}), steps)
    return spec


def loaded(spec, start: str) -> LoadedSpec:
    ranges = "search.lr={ low = 1e-3, high = 2e-2, log = true }"
    return load_spec(spec, [ranges, f"search.start_from={start}"])


@pytest.mark.parametrize("text", ["before", key("good")[:12], key("sweep 0"), key("sweep 0")[:10]])
def test_a_sweep_or_study_is_found_by_name_and_key(world, text):
    (found,) = earlier_studies(loaded(world, json.dumps(text)))[text]
    assert (found.key, found.combiner, found.settings) == (key("good"), "scalearn", BEST)


def test_what_is_found_is_in_the_plan(world):
    named = compile_spec(loaded(world, '"before"')).studies
    told = compile_spec(
        loaded(world, "{ combiner = 'scalearn', lr = 4e-3, init_scale = 2.0, dropout = 0.3 }")
    ).studies
    assert [one.key for one in named] == [one.key for one in told]
    scalearn = next(one for one in named if one.job.combiner == "scalearn")
    assert scalearn.job.search.start[0]["lr"] == 4e-3


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("befor", "no sweep or study 'befor'", "before"),
        ("half", "missing of it is not complete", "submit it again"),
        ("twice", "2 sweeps are named 'twice'", key("sweep 2")[:12]),
        (
            "wide",
            "is 0.5, which is not searched here: lr of scalearn is 0.001 to 0.02",
            "search lr there too",
        ),
        ("fusion", "no study of a combiner of this spec, but of adapterfusion", ""),
    ],
)
def test_what_cannot_be_started_from_is_refused_where_it_is_named(world, text, message, hint):
    with pytest.raises(SpecError) as refused:
        earlier_studies(loaded(world, json.dumps(text)))
    (fault,) = refused.value.details["faults"]
    assert message in fault["message"]
    assert hint in str(fault["hint"])
    assert fault["key"].startswith("search.start_from")


def test_an_empty_catalog_has_nothing_to_start_from(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    with pytest.raises(SpecError, match="the catalog is empty"):
        earlier_studies(loaded(write_world(tmp_path), '"before"'))


def test_a_searched_method_starts_from_earlier_searches_of_it(world):
    stores = load_spec(world).stores()
    target = load_spec(world).spec.targets.tasks[0]
    with open_catalog(stores.catalog, stores.blobs, locks=stores.locks) as catalog:
        put_study(catalog, "lora", combiner="lora", task=target, best_settings={"lr": 2e-3, "r": 4.0})
        steps = [SweepStep(0, key("lora"), StepKind.STUDY, "lora", id=f"study/{target}/lora")]
        catalog.open_sweep(key("sweep lora"), "loras", json.dumps({}), steps)

    def found(rank: str):
        world.with_suffix(".lora.toml").write_text(
            f'extends = "{world.name}"\n[search]\nstart_from = "loras"\n[[baseline]]\nmethod = "lora"\n'
            f"lr = {{ low = 1e-4, high = 1e-2 }}\nsettings = {{ r = {rank} }}\n"
        )
        return compile_spec(load_spec(world.with_suffix(".lora.toml")))

    plan = found("{ low = 2, high = 8 }")
    starts = {study.job.label: study.job.search.start for study in plan.studies}
    assert starts == {"lora": ({"lr": 2e-3, "r": 4},), "scalearn": (), "scalearn_uniform": ()}
    with pytest.raises(
        SpecError, match=r"the best r of lora .* is 4, which is not searched here: r of lora is 5 to 8"
    ):
        found("{ low = 5, high = 8 }")
