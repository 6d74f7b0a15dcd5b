"""Every plug-in that is installed keeps its promises; they come in by the visitors' door."""

from __future__ import annotations

import pytest

from adapterlab.registry import entry_points
from adapterlab.registry.contracts import AdapterMethodContract, CombinerContract, TaskSuiteContract
from adapterlab.registry.protocols import BackboneFamily
from adapterlab.train.contracts import CombinerLayerContract, MethodLayerContract


@pytest.fixture(params=entry_points.names(entry_points.ADAPTER_METHODS))
def method(request):
    """Each adapter method."""
    return entry_points.adapter_method(request.param)


@pytest.fixture(params=entry_points.names(entry_points.COMBINERS))
def combiner(request):
    """Each combiner."""
    return entry_points.combiner(request.param)


@pytest.fixture(params=entry_points.names(entry_points.TASK_SUITES))
def suite(request):
    """Each task suite."""
    return entry_points.task_suite(request.param)


class TestMethods(AdapterMethodContract, MethodLayerContract):
    @pytest.fixture(autouse=True)
    def _take(self, method):
        type(self).plugin = method


class TestCombiners(CombinerContract):
    @pytest.fixture(autouse=True)
    def _take(self, combiner):
        type(self).plugin = combiner


class TestCombinerLayers(CombinerLayerContract):
    @pytest.fixture(autouse=True)
    def _take(self, combiner):
        type(self).plugin = combiner


class TestSuites(TaskSuiteContract):
    @pytest.fixture(autouse=True)
    def _take(self, suite):
        type(self).plugin = suite


def test_every_architecture_has_one_family():
    for architecture in ("bert", "roberta", "xlm-roberta"):
        family = entry_points.backbone_family(architecture)
        assert isinstance(family, BackboneFamily)
        assert architecture in family.architectures


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(LookupError, match="Did you mean 'scalearn_uniform'"):
        entry_points.combiner("scalearn_unifrom")
    with pytest.raises(LookupError, match="Did you mean 'glue/rte'"):
        entry_points.task_definition("glue/rt")
