"""The head a task asks for is looked up by name, and answers only the kinds of tasks it can."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import specs
from adapterlab.errors import NotFoundError, UsageError
from adapterlab.planning.compile import compile_plan
from adapterlab.records import ProblemType, Reads, TrainSettings
from adapterlab.registry import entry_points
from adapterlab.registry.entry_points import adapter_method, head, task_definition
from adapterlab.spec.plugin_checks import plugin_complaints
from adapterlab.train.heads import head_layer, head_of
from adapterlab.train.lane import source_lane
from adapterlab.train.rng import stream
from plugin_packages import POOLING, importable, write_package
from tiny_models import random_choice_task, random_encoder, random_label_task, random_task


@pytest.fixture
def pooling(tmp_path):
    """The head ``pooling``, installed."""
    write_package(tmp_path, "pooling_one", POOLING, {"adapterlab.heads": {"pooling": "POOLING"}})
    with importable(tmp_path):
        yield
    sys.modules.pop("pooling_one", None)


@pytest.mark.parametrize(
    ("name", "reads"),
    [("classification", Reads.FIRST), ("last_token", Reads.LAST), ("mean_token", Reads.MEAN)],
)
def test_a_task_has_the_head_it_names(name, reads):
    facts = replace(random_task(n_labels=3).facts, head=name)
    layer = head_of(facts, 16)
    assert layer.reads is reads
    tensors = layer.initial(stream(0, "head"))
    assert tensors["head.out.weight"].shape == (3, 16)
    assert sum(one.numel() for one in tensors.values()) == head(name).parameters(16, 3)


def test_without_a_name_it_is_the_papers_two_layers_on_the_first_token():
    layer = head_of(random_task().facts, 16)
    tensors = {name: one.double() + 0.1 for name, one in layer.initial(stream(0, "head")).items()}
    states = torch.randn(5, 16, dtype=torch.float64)
    got = layer.forward(tensors, states, torch.ones(5), dropout=0.3, generator=None)
    inner = torch.tanh(F.linear(states, tensors["head.dense.weight"], tensors["head.dense.bias"]))
    wanted = F.linear(inner, tensors["head.out.weight"], tensors["head.out.bias"])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    assert layer.reads is Reads.FIRST


def test_the_head_of_roberta_base_is_as_large_as_the_papers():
    assert head("classification").parameters(768, 2) == 592_130


def test_an_unknown_head_suggests_the_nearest():
    facts = replace(random_task().facts, head="mean_tokens")
    with pytest.raises(NotFoundError, match="no head named 'mean_tokens'") as caught:
        head_of(facts, 16)
    assert "mean_token" in caught.value.remedy


@pytest.mark.usefixtures("pooling")
@pytest.mark.parametrize("task", [random_label_task(), random_choice_task()], ids=["labels", "choices"])
def test_a_head_that_cannot_answer_a_task_is_refused_before_training(task):
    facts = replace(task.facts, head="pooling")
    with pytest.raises(UsageError, match=f"{facts.task}: the head 'pooling' cannot answer") as caught:
        head_of(facts, 16)
    assert "classification, regression" in caught.value.remedy
    encoder, plugin = random_encoder(), adapter_method("lora")
    with pytest.raises(UsageError, match="cannot answer"):
        source_lane(
            encoder,
            plugin.layer(plugin.settings(), encoder.shape),
            replace(task, facts=facts),
            TrainSettings(lr=1e-3, max_epochs=1, patience=1, batch_size=4),
            seed=0,
            name="x",
        )


@pytest.mark.usefixtures("pooling")
def test_a_head_of_ones_own_answers_what_it_says():
    layer = head_layer("pooling", ProblemType.REGRESSION, 1, 16)
    tensors = layer.initial(stream(0, "head"))
    assert layer.reads is Reads.EVERY
    assert sum(one.numel() for one in tensors.values()) == head("pooling").parameters(16, 1)
    lengths = torch.tensor([2, 1, 3])
    outputs = layer.forward(tensors, torch.randn(6, 16), lengths, dropout=0.0, generator=None)
    assert outputs.shape == (3, 1)
    assert layer.loss(outputs, torch.zeros(3)).ndim == 0


PICKY = POOLING.replace(
    "POOLING = ",
    """
class Picky(Pooling):
    name = "picky"

    def complaint(self, problem_type, outputs):
        return None if outputs <= 2 else f"it tells two classes apart, the task has {outputs}"


PICKY = Picky()
POOLING = """,
)


@pytest.fixture
def picky(tmp_path):
    """The head ``picky``, which answers tasks of two classes only, installed."""
    write_package(tmp_path, "picky_one", PICKY, {"adapterlab.heads": {"picky": "PICKY"}})
    with importable(tmp_path):
        yield
    sys.modules.pop("picky_one", None)


@pytest.mark.usefixtures("picky")
def test_a_head_may_refuse_more_outputs_than_it_gives():
    head_of(replace(random_task(n_labels=2).facts, head="picky"), 16)
    with pytest.raises(UsageError, match="cannot answer it: it tells two classes apart, the task has 3"):
        head_of(replace(random_task(n_labels=3).facts, head="picky"), 16)


@pytest.mark.usefixtures("picky")
def test_a_head_that_cannot_answer_is_refused_when_a_sweep_is_planned():
    """Labels that only the rows show are known to a plan, and to no spec."""
    asked = specs.spec()
    task = replace(specs.task_facts("superglue/cb"), head="picky")
    assert compile_plan(asked, specs.facts(asked, **{"superglue/cb": task}))
    more = replace(task, n_labels=3, labels=("a", "b", "c"))
    with pytest.raises(UsageError, match="superglue/cb: the head 'picky' cannot answer it"):
        compile_plan(asked, specs.facts(asked, **{"superglue/cb": more}))
    kind = replace(task, problem_type=ProblemType.MULTI_LABEL)
    with pytest.raises(UsageError, match="superglue/cb: the head 'picky' cannot answer a task of type"):
        compile_plan(asked, specs.facts(asked, **{"superglue/cb": kind}))


@pytest.mark.usefixtures("picky")
@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"labels": ["a", "b"]}, None),
        ({}, None),
        ({"labels": ["a", "b", "c"]}, "it tells two classes apart, the task has 3"),
        ({"type": "multi_label", "labels": ["a", "b"]}, "cannot answer a task of type multi_label"),
        ({"type": "regression"}, None),
        ({"type": "nonsense"}, None),
    ],
)
def test_a_head_that_cannot_answer_is_a_fault_of_the_spec(task, said):
    document = {"task": [{"name": "mine/t", "head": "picky", **task}]}
    complaints = plugin_complaints(document)
    assert [one.path for one in complaints] == ([] if said is None else [("task", 0, "head")])
    assert said is None or said in complaints[0].message


@pytest.mark.usefixtures("picky")
def test_the_head_of_a_suites_task_is_asked_too(monkeypatch):
    definition = replace(task_definition("superglue/cb"), head="picky")
    monkeypatch.setattr(entry_points, "task_definition", lambda _name: definition)
    (found,) = plugin_complaints({"pool": {"tasks": ["superglue/cb"]}})
    assert found.path == ("pool", "tasks", 0)
    assert "superglue/cb: the head 'picky' cannot answer it" in found.message
