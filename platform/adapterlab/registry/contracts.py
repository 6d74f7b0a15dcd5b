"""Contract tests of a plug-in's light side: inherit a case class, set ``plugin``, run pytest.

    class TestMySuite(TaskSuiteContract):
        plugin = MY_SUITE

The torch side of methods and combiners has its cases in ``train/contracts.py``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from adapterlab.records import BackboneShape, ProblemType
from adapterlab.registry import entry_points
from adapterlab.registry.protocols import AdapterMethod, Combiner, Expands, TaskSuite, fill_template

SHAPE = BackboneShape(layers=3, hidden_size=32, heads=4, intermediate_size=64, embedding_rows=100)
"""A small shape the cases use."""


class AdapterMethodContract:
    """What every adapter method keeps."""

    plugin: AdapterMethod

    def test_it_says_what_it_is(self) -> None:
        """Name, version and settings are there, and settings refuse unknown keys."""
        _check_described(self.plugin)

    def test_counts_grow_with_layers(self) -> None:
        """Twice the layers never has fewer parameters."""
        settings = self.plugin.settings()
        one = self.plugin.trainable_parameters(settings, SHAPE)
        two = self.plugin.trainable_parameters(settings, replace(SHAPE, layers=2 * SHAPE.layers))
        assert one is not None
        assert two is not None
        assert 0 <= one <= two

    def test_only_what_can_be_combined_folds(self) -> None:
        """A folded combination is an adapter of an installed method; exclusive methods have no sites."""
        settings = self.plugin.settings()
        folded = self.plugin.folds_into(settings)
        if folded is not None:
            assert self.plugin.combinable
            assert isinstance(folded[1], entry_points.adapter_method(folded[0]).settings)
        if self.plugin.combinable:
            assert self.plugin.sites(settings)
        if self.plugin.exclusive:
            assert not self.plugin.sites(settings)


class CombinerContract:
    """What every combiner keeps."""

    plugin: Combiner

    def test_it_says_what_it_is(self) -> None:
        """Name, version and settings are there, and settings refuse unknown keys."""
        _check_described(self.plugin)

    def test_settings_survive_their_way_to_a_worker(self) -> None:
        """Settings as JSON are the same settings again, of every point of a grid."""
        settings = self.plugin.settings()
        points = self.plugin.points(settings) if isinstance(self.plugin, Expands) else [("", settings)]
        for _, point in points:
            sent = point.model_dump(mode="json")
            assert self.plugin.settings.model_validate(sent) == point
            assert self.plugin.settings.model_validate(sent).model_dump(mode="json") == sent

    def test_it_searches_the_rate(self) -> None:
        """Dimensions are as under ``[search]``, the learning rate among them."""
        assert "lr" in self.plugin.dimensions
        for space in self.plugin.dimensions.values():
            assert isinstance(space, float) or set(space) in ({"low", "high", "log"}, {"choices"})

    def test_its_coefficients_name_every_source(self) -> None:
        """The shape is (L or 1, T, d or 1) for any number of sources."""
        for sources in (1, 2, 7):
            layers, count, width = self.plugin.coefficient_shape(SHAPE, sources)
            assert layers in {1, SHAPE.layers}
            assert count == sources
            assert width in {1, SHAPE.hidden_size}


class TaskSuiteContract:
    """What every task suite keeps."""

    plugin: TaskSuite

    def test_its_tasks_can_be_read_and_scored(self) -> None:
        """Each definition has texts, choices and labels that fit its type, and metrics."""
        assert self.plugin.definitions()
        for name, task in self.plugin.definitions().items():
            assert task.name == name
            assert task.metrics
            assert task.columns
            choice = task.problem_type is ProblemType.MULTIPLE_CHOICE
            assert len(task.text) in ((0, 1) if choice else (1, 2))
            assert len(task.choices) >= 2 if choice else not task.choices
            if task.problem_type is ProblemType.REGRESSION:
                assert not task.labels
            elif choice:
                assert len(task.labels) == len(task.choices)
            elif task.labels:
                assert len(set(task.labels)) == len(task.labels) >= 2

    def test_generated_rows_are_the_same_every_time(self) -> None:
        """A generated split is deterministic, and its parts do not share a text."""
        if not self.plugin.generates():
            return
        for name, task in self.plugin.definitions().items():
            train, again = (list(self.plugin.rows(name, "train")) for _ in range(2))
            assert train == again
            test = list(self.plugin.rows(name, "validation"))
            templates = (*task.text, *task.choices)
            texts = {tuple(fill_template(one, row) for one in templates) for row in train}
            assert not texts & {tuple(fill_template(one, row) for one in templates) for row in test}


def _check_described(plugin: Any) -> None:
    assert plugin.name
    assert plugin.version >= 1
    assert plugin.settings.model_config.get("extra") == "forbid"
    assert plugin.settings.model_config.get("frozen")
    assert plugin.settings() == plugin.settings()
    module = sys.modules[type(plugin).__module__]
    assert "torch" not in vars(module), "the light side must not import torch"
