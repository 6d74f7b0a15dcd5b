"""Every plug-in that is installed keeps its promises; they come in by the visitors' door."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import torch

from adapterlab.contracts import (
    AdapterMethodContract,
    BackboneFamilyContract,
    CombinerContract,
    HeadContract,
    JointMethodContract,
    TaskSuiteContract,
)
from adapterlab.plugin import Combiner, CombinerLayer, at_point, fresh_omega, scaled_sum
from adapterlab.registry import entry_points

MEANS = {"adaptersoup", "weighted_average", "svd"}
"""Combiners that make a mean of the pool's adapters."""
_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 9,
    "max_position_embeddings": 12,
}


@pytest.fixture(params=entry_points.names(entry_points.ADAPTER_METHODS))
def method(request):
    """Each adapter method."""
    return entry_points.adapter_method(request.param)


@pytest.fixture(params=entry_points.names(entry_points.JOINT_METHODS))
def joint_method(request):
    """Each joint method."""
    return entry_points.joint_method(request.param)


@pytest.fixture(params=entry_points.names(entry_points.COMBINERS))
def combiner(request):
    """Each combiner."""
    return entry_points.combiner(request.param)


@pytest.fixture(params=entry_points.names(entry_points.HEADS))
def head(request):
    """Each head."""
    return entry_points.head(request.param)


@pytest.fixture(params=entry_points.names(entry_points.TASK_SUITES))
def suite(request):
    """Each task suite."""
    return entry_points.task_suite(request.param)


class TestJointMethods(JointMethodContract):
    @pytest.fixture(autouse=True)
    def _take(self, joint_method):
        type(self).plugin = joint_method


class TestMethods(AdapterMethodContract):
    @pytest.fixture(autouse=True)
    def _take(self, method):
        type(self).plugin = method


class TestCombiners(CombinerContract):
    @pytest.fixture(autouse=True)
    def _take(self, combiner):
        type(self).plugin = combiner
        type(self).is_mean = combiner.name in MEANS


class TestHeads(HeadContract):
    @pytest.fixture(autouse=True)
    def _take(self, head):
        type(self).plugin = head


class TestSuites(TaskSuiteContract):
    @pytest.fixture(autouse=True)
    def _take(self, suite):
        type(self).plugin = suite


class _Tempered(CombinerLayer):
    """A softmax at a searched temperature, which claims that trials of any temperature are alike."""

    def __init__(self, pool, *, temperature):
        super().__init__(pool)
        self.temperature = temperature

    @property
    def alike(self):
        return self.pool

    def initial(self, generator):
        del generator
        return fresh_omega(self.pool, torch.ones, per_point=True, per_dimension=False)

    def forward(self, tensors, point, pool, x, h, *, generator, observe=None):
        del x, generator, observe
        weights = torch.softmax(at_point(tensors, self.pool, point) / self.temperature, dim=-2)
        return scaled_sum(weights, pool, h)

    def coefficients(self, tensors):
        del tensors
        raise NotImplementedError


class _Careless(Combiner):
    name = "careless"
    dimensions: ClassVar = {"lr": 1e-3, "temperature": {"low": 0.1, "high": 10.0, "log": True}}

    def trainable_parameters(self, settings, pool):
        del settings
        return len(pool.points) * pool.sources

    def layer(self, settings, pool, *, temperature):
        del settings
        return _Tempered(pool, temperature=temperature)


def test_a_combiner_that_forgets_a_dimension_where_lanes_are_together_is_told():
    """Its trials would all be trained at the first one's temperature, without a word."""
    case = CombinerContract()
    case.plugin = _Careless()
    with pytest.raises(AssertionError, match="not close"):
        case.test_lanes_that_are_alike_combine_together_as_each_does_alone()


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta"])
class TestEncoders(BackboneFamilyContract):
    @pytest.fixture(autouse=True)
    def _take(self, architecture):
        type(self).plugin = entry_points.backbone_family(architecture)
        type(self).config = {"model_type": architecture, **_SIZES}

    def write(self, folder):
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.for_model(**self.config)
        AutoModel.from_config(config).save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps(self.config))


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(LookupError, match="Did you mean 'scalearn_uniform'"):
        entry_points.combiner("scalearn_unifrom")
    with pytest.raises(LookupError, match="Did you mean 'glue/rte'"):
        entry_points.task_definition("glue/rt")
