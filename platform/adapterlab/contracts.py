"""Contract suites for plug-ins: inherit a case class, set ``plugin``, run pytest.

    class TestMyCombiner(CombinerContract):
        plugin = MY_COMBINER

A plug-in that passes its suite keeps what the engine relies on. The cases run on a small backbone whose
sites differ in width, and on one whose sites do not, in float64.

One module of some 700 lines, since whoever writes a plug-in imports all of it from here, and the six suites share
their small shapes, pools and random tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.records import BackboneShape, Examples, PoolShape, ProblemType, Reads, Site
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import AdapterMethod, BackboneFamily, Combiner, Head, JointMethod, TaskSuite
from adapterlab.registry.task_definitions import fill_template
from adapterlab.train.combination import combiner_layer
from adapterlab.train.fold import fold
from adapterlab.train.layers import (
    MEAN_COEFFICIENTS,
    Backbone,
    Coefficients,
    CombinerLayer,
    FrozenPool,
    MethodLayer,
    PoolContext,
    Tensors,
)
from adapterlab.train.passes import Pass, gather
from adapterlab.train.rng import stream
from adapterlab.train.together import Together

_WIDE, _NARROW, _INNER = 32, 16, 64
_ROWS = 5
_TOLERANCE = 1e-12


def _shape(value_width: int) -> BackboneShape:
    """Return a shape with every site that the shipped methods attach to."""
    return BackboneShape(
        layers=3,
        hidden_size=_WIDE,
        sites=(
            Site("attention.query", _WIDE, _WIDE),
            Site("attention.key", _WIDE, value_width),
            Site("attention.value", _WIDE, value_width),
            Site("attention.context", _WIDE, _WIDE),
            Site("attention.dense", _WIDE, _WIDE),
            Site("attention.out", _WIDE, _WIDE),
            Site("ffn.up", _WIDE, _INNER),
            Site("ffn.inner", _INNER, _INNER),
            Site("ffn.down", _INNER, _WIDE),
            Site("ffn.out", _WIDE, _WIDE),
            Site("ffn", _WIDE, _WIDE),
        ),
        layer_parameters=4 * _WIDE * _WIDE + 2 * _WIDE * _INNER,
        parameters=100_000,
    )


SHAPE = _shape(_WIDE)
"""A small shape whose attention maps are equally wide."""
GROUPED = _shape(_NARROW)
"""The same with grouped queries: keys and values are half as wide as queries."""
TASKS = ("suite/first", "suite/second", "suite/third")
"""Tasks of a joint run."""
POOL = PoolShape(3, (Site("ffn", _WIDE, _WIDE),), 3, target=2)
"""Three adapters at one site."""
UNEVEN_POOL = PoolShape(
    3, (Site("attention.query", _WIDE, _WIDE), Site("attention.value", _WIDE, _NARROW)), 3, target=2
)
"""Three adapters at two sites of different width."""


class AdapterMethodContract:
    """What every adapter method keeps."""

    plugin: AdapterMethod

    def test_it_says_what_it_is(self) -> None:
        """Name, version and settings are there, and settings refuse unknown keys."""
        _check_described(self.plugin, AdapterMethod)

    def test_counts_grow_with_layers(self) -> None:
        """Twice the layers never has fewer parameters."""
        settings = self.plugin.settings()
        one = self.plugin.trainable_parameters(settings, SHAPE)
        two = self.plugin.trainable_parameters(settings, replace(SHAPE, layers=2 * SHAPE.layers))
        assert one is not None
        assert two is not None
        assert 0 <= one <= two

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes; the backbone's own weights it does not make."""
        if self.plugin.exclusive:
            return
        settings = self.plugin.settings()
        for shape in (SHAPE, GROUPED):
            tensors = self.plugin.layer(settings, shape).initial(stream(0, "contract"))
            wanted = self.plugin.trainable_parameters(settings, shape)
            assert sum(one.numel() for one in tensors.values()) == wanted

    def test_the_same_seed_gives_the_same_tensors(self) -> None:
        """Initialisation draws from the given generator only."""
        layer = self.plugin.layer(self.plugin.settings(), SHAPE)
        one, two = (layer.initial(stream(3, "contract")) for _ in range(2))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_both_sides_name_the_same_sites(self) -> None:
        """Plans count points by the light side, the engine attaches by the torch side."""
        settings = self.plugin.settings()
        layer = self.plugin.layer(settings, SHAPE)
        assert tuple(site.name for site in layer.sites) == self.plugin.sites(settings)
        assert layer.trains_backbone == self.plugin.exclusive
        assert self.plugin.combinable == (type(layer).stack is not MethodLayer.stack)
        assert bool(self.plugin.merge_spaces) == (type(layer).products is not MethodLayer.products)
        if self.plugin.merge_spaces:
            assert ("product" in self.plugin.merge_spaces) == bool(layer.products())
        if self.plugin.combinable:
            assert layer.sites
        if self.plugin.exclusive:
            assert not layer.sites

    def test_gradients_reach_every_tensor(self) -> None:
        """No tensor is left out of what an adapter computes, at sites of any width."""
        for shape in (SHAPE, GROUPED):
            layer = self.plugin.layer(self.plugin.settings(), shape)
            (adapter,) = adapters_of(layer, 1)
            leaves = {name: tensor.requires_grad_() for name, tensor in adapter.items()}
            total = torch.zeros((), dtype=torch.float64)
            for name, index in layer.points:
                x, y = _inputs(shape.site(name))
                u = layer.forward(leaves, name, index, x, y)
                assert u.shape == y.shape
                total = total + u.sum()
            if leaves:
                total.backward()  # type: ignore[no-untyped-call]
            assert all(tensor.grad is not None and bool(tensor.grad.any()) for tensor in leaves.values())

    def test_adapters_of_lanes_compute_together_what_each_does_alone(self) -> None:
        """Lanes that are alike are an axis: ``forward`` of all of them gives each one's own output."""
        for shape in (SHAPE, GROUPED):
            layer = self.plugin.layer(self.plugin.settings(), shape)
            if layer.alike is None or self.plugin.exclusive:
                return
            lanes = adapters_of(layer, 3)
            joined = layer.together([self.plugin.layer(self.plugin.settings(), shape) for _ in lanes])
            for name, index in layer.points:
                x, y = _lanes_inputs(shape.site(name), len(lanes))
                got = joined.forward(Together(lanes), name, index, x, y)
                alone = [layer.forward(one, name, index, x[k], y[k]) for k, one in enumerate(lanes)]
                torch.testing.assert_close(got, torch.stack(alone), rtol=_TOLERANCE, atol=_TOLERANCE)

    def test_a_stack_holds_each_adapter_unchanged(self) -> None:
        """``up[t] h_t + bias[t]`` of the stack is the adapter's own output, for every t and point."""
        if not self.plugin.combinable:
            return
        for shape in (SHAPE, GROUPED):
            layer = self.plugin.layer(self.plugin.settings(), shape)
            pool = adapters_of(layer, 3)
            for name, index in layer.points:
                x, y = _inputs(shape.site(name))
                stacked = layer.stack(pool, name, index)
                h = layer.inner(stacked, x).view(_ROWS, len(pool), -1)
                for t, adapter in enumerate(pool):
                    folded = h[:, t] @ stacked.up[t].T + stacked.bias[t]
                    alone = layer.forward(adapter, name, index, x, y)
                    torch.testing.assert_close(folded, alone, rtol=_TOLERANCE, atol=_TOLERANCE)

    def test_a_folded_pool_is_one_adapter(self) -> None:
        """A method that folds: one adapter, of the method it names, computes ``Σ_t ω_t ⊙ u_t``."""
        settings = self.plugin.settings()
        folds_into = self.plugin.folds_into(settings)
        layer = self.plugin.layer(settings, SHAPE)
        assert (folds_into is not None) == (type(layer).fold is not MethodLayer.fold)
        if folds_into is None:
            return
        assert self.plugin.combinable
        method, its_settings = entry_points.adapter_method(folds_into[0]), folds_into[1]
        assert isinstance(its_settings, method.settings)
        for shape in (SHAPE, GROUPED):
            layer, plain = self.plugin.layer(settings, shape), method.layer(its_settings, shape)
            pool = adapters_of(layer, 3)
            omega = Coefficients(
                tuple(_random((3, shape.site(name).output), f"omega {index}") for name, index in layer.points)
            )
            folded = fold(layer, pool, omega).tensors
            for point, (name, index) in enumerate(layer.points):
                x, y = _inputs(shape.site(name))
                apart = [layer.forward(adapter, name, index, x, y) for adapter in pool]
                wanted = (omega.at(point) * torch.stack(apart, 1)).sum(1)
                got = plain.forward(folded, name, index, x, y)
                torch.testing.assert_close(got, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)


class JointMethodContract:
    """What every joint method keeps."""

    plugin: JointMethod

    def test_it_says_what_it_is(self) -> None:
        """Name, version and settings are there, and settings refuse unknown keys."""
        _check_described(self.plugin, JointMethod)

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes, for two tasks and more; weights of the backbone apart."""
        settings = self.plugin.settings()
        for tasks in (TASKS[:2], TASKS):
            layer = self.plugin.layer(settings, SHAPE, tasks)
            assert layer.method.trains_backbone == self.plugin.exclusive
            tensors = layer.initial(stream(0, "contract"))
            wanted = self.plugin.trainable_parameters(settings, SHAPE, len(tasks))
            own = 0 if not self.plugin.exclusive or SHAPE.parameters is None else SHAPE.parameters
            assert wanted == own + sum(one.numel() for one in tensors.values())

    def test_the_same_seed_gives_the_same_tensors(self) -> None:
        """Initialisation draws from the given generator only."""
        layer = self.plugin.layer(self.plugin.settings(), SHAPE, TASKS)
        one, two = (layer.initial(stream(3, "contract")) for _ in range(2))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_every_tensor_is_some_tasks(self) -> None:
        """Each task has an adapter that its method computes with, and together they leave no tensor out."""
        layer = self.plugin.layer(self.plugin.settings(), SHAPE, TASKS)
        leaves = {
            name: _random(tuple(one.shape), name).requires_grad_()
            for name, one in layer.initial(stream(0, "contract")).items()
        }
        total = torch.zeros((), dtype=torch.float64)
        for task in TASKS:
            adapter = layer.adapter(leaves, task)
            for name, index in layer.method.points:
                x, y = _inputs(SHAPE.site(name))
                u = layer.method.forward(adapter, name, index, x, y)
                assert u.shape == y.shape
                total = total + (u * _random(tuple(u.shape), "weights")).sum()
        if leaves:
            total.backward()  # type: ignore[no-untyped-call]
        assert all(tensor.grad is not None and bool(tensor.grad.any()) for tensor in leaves.values())

    def test_its_adapters_are_what_it_says(self) -> None:
        """Where it names an ordinary method, that method's layer computes the same of them."""
        settings = self.plugin.settings()
        named = self.plugin.adapters(settings)
        if named is None:
            return
        layer = self.plugin.layer(settings, SHAPE, TASKS)
        other = entry_points.adapter_method(named[0]).layer(named[1], SHAPE)
        adapter = layer.adapter(layer.initial(stream(0, "contract")), TASKS[0])
        assert adapter.keys() == other.initial(stream(0, "contract")).keys()
        for name, index in other.points:
            x, y = (one.float() for one in _inputs(SHAPE.site(name)))
            mine = layer.method.forward(adapter, name, index, x, y)
            assert torch.equal(mine, other.forward(adapter, name, index, x, y))


class CombinerContract:
    """What every combiner keeps; has cases of its own for each kind of coefficients.

    A combiner that reads other models or the target's rows takes its fixed coefficients from equal shares here.
    """

    plugin: Combiner
    is_mean: bool = False
    """Whether it makes one adapter of the pool's that is their mean."""

    def test_it_says_what_it_is(self) -> None:
        """Name, version, settings and dimensions are there, and settings refuse unknown keys."""
        _check_described(self.plugin, Combiner)

    def test_settings_survive_their_way_to_a_worker(self) -> None:
        """Settings as JSON are the same settings again, of every point of a grid."""
        for _, point in self.plugin.points(self.plugin.settings()):
            sent = point.model_dump(mode="json")
            assert self.plugin.settings.model_validate(sent) == point
            assert self.plugin.settings.model_validate(sent).model_dump(mode="json") == sent

    def test_its_dimensions_are_as_under_search(self) -> None:
        """Each default is a number, a range or choices; the learning rate is among them."""
        assert "lr" in self.plugin.dimensions
        for space in self.plugin.dimensions.values():
            assert isinstance(space, float) or set(space) in ({"low", "high", "log"}, {"choices"})

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes."""
        for pool in (POOL, UNEVEN_POOL):
            wanted = self.plugin.trainable_parameters(settings_of(self.plugin), pool)
            fresh = _layer(self.plugin, pool).initial(stream(0, "contract"))
            assert sum(one.numel() for one in fresh.values()) == wanted

    def test_the_same_seed_gives_the_same_tensors(self) -> None:
        """Initialisation draws from the given generator only."""
        one, two = (_layer(self.plugin, POOL).initial(stream(0, "contract")) for _ in range(2))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_every_dimension_changes_what_is_trained(self) -> None:
        """A searched dimension that changes neither the start, a step nor the loss would be searched in vain."""
        for name in (*self.plugin.dimensions, *self.plugin.optional):
            if name != "lr":
                low, high = (_trained_with(self.plugin, {name: value}) for value in (0.2, 0.7))
                assert not torch.equal(low, high), name

    def test_evaluation_draws_nothing(self) -> None:
        """Without a generator, two passes give the same numbers."""
        layer = _layer(self.plugin, POOL)
        tensors = _random_tensors(self.plugin, layer)
        assert torch.equal(_forward(layer, tensors, 0), _forward(layer, tensors, 0))

    def test_lanes_that_are_alike_combine_together_as_each_does_alone(self) -> None:
        """Trials of one study differ in their dimensions: what is not in ``alike`` is kept apart by ``together``."""
        others = [name for name in (*self.plugin.dimensions, *self.plugin.optional) if name != "lr"]
        for shape in (POOL, UNEVEN_POOL):
            trials = [_layer(self.plugin, shape, dict.fromkeys(others, value)) for value in (0.2, 0.4, 0.7)]
            first = trials[0]
            alike = [one for one in trials if one.alike is not None and one.alike == first.alike]
            if len(alike) < 2:
                continue
            lanes = [_random_tensors(self.plugin, one, seed) for seed, one in enumerate(alike)]
            joined = first.together(alike)
            for point, site in enumerate(shape.points):
                pool, h = _random_pool(first, point)
                x, _ = _lanes_inputs(site, len(alike))
                hs = torch.stack([(k + 1) * h for k in range(len(alike))])  # (K, R, T·r)
                got = joined.forward(Together(lanes), point, pool, x, hs, generator=None)
                alone = [
                    one.forward(own, point, pool, x[k], hs[k], generator=None)
                    for k, (one, own) in enumerate(zip(alike, lanes, strict=True))
                ]
                torch.testing.assert_close(got, torch.stack(alone), rtol=_TOLERANCE, atol=_TOLERANCE)
            penalties = [one.penalty(own) for one, own in zip(alike, lanes, strict=True)]
            if penalties[0] is not None:
                of_all = joined.penalty(Together(lanes))
                wanted = torch.stack([one for one in penalties if one is not None])
                torch.testing.assert_close(of_all, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)

    def test_folded_equals_unfolded(self) -> None:
        """The output is ``Σ_t ω_t ⊙ (up[t] h_t + bias[t])`` with the coefficients it reports."""
        for shape in (POOL, UNEVEN_POOL, replace(POOL, sources=1)):
            layer = _layer(self.plugin, shape)
            if self.plugin.token_dependent or layer.averages:
                return
            tensors = _random_tensors(self.plugin, layer)
            omega = layer.coefficients(tensors)
            assert len(omega.rows) in (1, len(shape.points))
            for point, site in enumerate(shape.points):
                assert tuple(omega.at(point).shape) in ((shape.sources, 1), (shape.sources, site.output))
                outputs = _outputs(*_random_pool(layer, point))
                wanted = (omega.at(point) * outputs).sum(1)
                got = _forward(layer, tensors, point)
                torch.testing.assert_close(got, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)

    def test_token_dependent_coefficients_are_observed(self) -> None:
        """Coefficients that differ by token are handed to ``observe``, (N, T), one sum per token."""
        if not self.plugin.token_dependent:
            return
        for shape in (POOL, UNEVEN_POOL, replace(POOL, sources=1)):
            layer = _layer(self.plugin, shape)
            seen: list[Tensor] = []
            tensors = _random_tensors(self.plugin, layer)
            plain = _forward(layer, tensors, 0)
            assert torch.equal(plain, _forward(layer, tensors, 0, observe=seen.append))
            (one,) = seen
            assert one.shape == (_ROWS, shape.sources)
            means = one.mean(0)[None, :, None].expand(len(shape.points), -1, -1)
            reported = layer.coefficients({**tensors, MEAN_COEFFICIENTS: means})
            assert all(torch.equal(row, mean) for row, mean in zip(reported.rows, means, strict=True))

    def test_one_adapter_made_of_a_pool_is_one_of_its_method(self) -> None:
        """It runs at every point, comes out the same each time, and leaves the pool's adapters as they are."""
        if not _layer(self.plugin, POOL).averages:
            return
        for method, merged in _mergers(self.plugin):
            adapters = adapters_of(method, 3)
            before = [{name: one.clone() for name, one in each.items()} for each in adapters]
            first, again = merged(adapters), merged(adapters)
            assert first.keys() == adapters[0].keys()
            assert all(torch.equal(first[name], again[name]) for name in first)
            for each, old in zip(adapters, before, strict=True):
                assert all(torch.equal(each[name], old[name]) for name in old)
            for name, index in method.points:
                x, y = _inputs(method.shape.site(name))
                u = method.forward(first, name, index, x, y)
                assert u.shape == y.shape
                assert bool(torch.isfinite(u).all())

    def test_one_adapter_made_of_equal_ones_is_that_adapter(self) -> None:
        """A mean of equal adapters computes what each of them does; its weights are shares in float32."""
        if not self.is_mean:
            return
        for method, merged in _mergers(self.plugin):
            (adapter,) = adapters_of(method, 1)
            mean = merged([adapter] * 3)
            for name, index in method.points:
                x, y = _inputs(method.shape.site(name))
                got, wanted = (method.forward(one, name, index, x, y) for one in (mean, adapter))
                torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-5)


class HeadContract:
    """What every head keeps."""

    plugin: Head

    def test_it_says_what_it_is(self) -> None:
        """Name, version and kinds of tasks are there."""
        assert self.plugin.name
        assert self.plugin.version >= 1
        assert self.plugin.problem_types
        _check_light(self.plugin, Head)

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``parameters`` is what ``initial`` makes, every name begins with ``head.``, seeds decide."""
        for problem_type in self.plugin.problem_types:
            layer = self.plugin.layer(_WIDE, 4, problem_type)
            one, two = (layer.initial(stream(0, "contract")) for _ in range(2))
            assert sum(each.numel() for each in one.values()) == self.plugin.parameters(_WIDE, 4)
            assert all(name.startswith("head.") for name in one)
            assert all(torch.equal(one[name], two[name]) for name in one)

    def test_it_answers_every_sequence_with_every_tensor(self) -> None:
        """Outputs are (B, C), the loss is a scalar, and gradients of outputs reach every tensor."""
        for problem_type in self.plugin.problem_types:
            single = problem_type in (ProblemType.REGRESSION, ProblemType.MULTIPLE_CHOICE)
            outputs = 1 if single else 4
            layer = self.plugin.layer(_WIDE, outputs, problem_type)
            assert layer.reads is self.plugin.reads
            leaves = {
                name: _random(tuple(one.shape), name).requires_grad_()
                for name, one in layer.initial(stream(0, "contract")).items()
            }
            lengths = torch.tensor([3, 1, 2, 4])
            rows = int(lengths.sum()) if layer.reads is Reads.EVERY else len(lengths)
            states = _random((rows, _WIDE), "states")
            got = layer.forward(leaves, states, lengths, dropout=0.1, generator=None)
            assert got.shape == (len(lengths), outputs)
            loss = layer.loss(got, _labels(problem_type, len(lengths), outputs))
            assert loss.ndim == 0
            assert loss.requires_grad
            # A softmax over choices hides what moves all of them alike, so gradients are taken of outputs.
            (got * _random(tuple(got.shape), "weights")).sum().backward()  # type: ignore[no-untyped-call]
            assert all(one.grad is not None and bool(one.grad.any()) for one in leaves.values())

    def test_heads_of_lanes_answer_together_as_each_does_alone(self) -> None:
        """Lanes whose heads are alike are an axis of tensors, states and outputs."""
        for problem_type in self.plugin.problem_types:
            layer = self.plugin.layer(_WIDE, 4, problem_type)
            if layer.alike is None or layer.reads is Reads.EVERY:
                return
            lanes = [
                {
                    name: _random(tuple(one.shape), f"{name} {seed}")
                    for name, one in layer.initial(stream(0, "contract")).items()
                }
                for seed in range(3)
            ]
            states = _random((3, _ROWS, _WIDE), "states")
            lengths = torch.full((3, _ROWS), 4)
            joined = layer.together([layer] * 3)
            got = joined.forward(Together(lanes), states, lengths, dropout=[0.1] * 3, generator=None)
            alone = [
                layer.forward(own, states[k], lengths[k], dropout=0.1, generator=None)
                for k, own in enumerate(lanes)
            ]
            torch.testing.assert_close(got, torch.stack(alone), rtol=_TOLERANCE, atol=_TOLERANCE)


class BackboneFamilyContract:
    """What every backbone family keeps; set ``config`` to a small model's ``config.json`` and write its folder.

    class TestMyFamily(BackboneFamilyContract):
        plugin = MY_FAMILY
        config = {"model_type": "mine", "hidden_size": 16, …}

        def write(self, folder): …  # config.json and model.safetensors
    """

    plugin: BackboneFamily
    config: Mapping[str, Any]
    """``config.json`` of a small model."""

    def write(self, folder: Path) -> None:
        """Write the small model's files into a folder."""
        raise NotImplementedError("write config.json and model.safetensors of a small model")

    def test_it_says_what_it_is(self) -> None:
        """Its config is of one of its architectures; shape, sites and input format come without torch."""
        assert self.plugin.name
        assert self.config["model_type"] in self.plugin.architectures
        shape, form = self.plugin.shape(self.config), self.plugin.input_format(self.config)
        assert shape.layers >= 1
        assert shape.sites
        assert len({site.name for site in shape.sites}) == len(shape.sites)
        assert all(site.input >= 1 and site.output >= 1 for site in shape.sites)
        assert form.segments >= 1
        assert form.longest is None or form.longest >= 1
        _check_light(self.plugin, BackboneFamily)

    def test_a_hook_is_called_at_every_site_with_its_widths(self, tmp_path: Path) -> None:
        """``x`` is (N, input), ``y`` is (N, output), once per layer, and what is added changes the result."""
        backbone = self._loaded(tmp_path)
        batch = _batch(backbone)
        plain = backbone.forward(batch)
        assert plain.shape == (batch.tokens, backbone.shape.hidden_size)
        for site in backbone.shape.sites:
            hook = _Adds(site)
            changed = backbone.forward(batch, hook)
            assert hook.layers == list(range(backbone.shape.layers)), site.name
            assert not torch.allclose(plain, changed), site.name

    def test_a_lane_does_not_depend_on_its_neighbours(self, tmp_path: Path) -> None:
        """Each rectangle's rows are the same alone and in a pass with others."""
        backbone = self._loaded(tmp_path)
        batch = _batch(backbone)
        together = backbone.forward(batch)
        for rectangle, rows in zip(batch.rectangles, batch.slices, strict=True):
            alone = backbone.forward(Pass((rectangle,)))
            torch.testing.assert_close(together[rows], alone, rtol=1e-10, atol=1e-10)

    def test_wanted_rows_are_the_rows_of_the_whole(self, tmp_path: Path) -> None:
        """``rows`` gives the states of one token per sequence, first or last, as the whole pass has them."""
        backbone = self._loaded(tmp_path)
        batch = _batch(backbone)
        whole = backbone.forward(batch)
        for reads in (Reads.FIRST, Reads.LAST):
            rows = batch.rows_read([reads] * len(batch.rectangles))
            got = backbone.forward(batch, rows=rows)
            torch.testing.assert_close(got, whole[rows], rtol=1e-10, atol=1e-10)

    def _loaded(self, folder: Path) -> Backbone:
        self.write(folder)
        backbone = self.plugin.load(folder, dtype=torch.float64)
        assert backbone.shape == self.plugin.shape(self.config)
        return backbone


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


def settings_of(plugin: Combiner) -> Any:
    """Return a combiner's default settings; of a grid its first point's."""
    return plugin.points(plugin.settings())[0][1]


def adapters_of(layer: MethodLayer, count: int) -> list[Tensors]:
    """Return adapters of a method with every tensor random, biases too, in float64."""
    return [
        {
            name: _random(tuple(one.shape), f"{name} {seed}")
            for name, one in layer.initial(stream(seed, "contract")).items()
        }
        for seed in range(count)
    ]


def _check_described(plugin: Any, kind: type) -> None:
    entry_points.check_plugin(plugin, kind, repr(plugin.name))
    assert plugin.version >= 1
    assert plugin.settings.model_config.get("extra") == "forbid"
    assert plugin.settings.model_config.get("frozen")
    assert plugin.settings() == plugin.settings()
    _check_light(plugin, kind)


def _check_light(plugin: Any, kind: type) -> None:
    assert isinstance(plugin, kind)
    module = sys.modules[type(plugin).__module__]
    assert "torch" not in vars(module), "the light side must not import torch"


def _layer(plugin: Combiner, pool: PoolShape, values: Mapping[str, float] | None = None) -> CombinerLayer:
    return combiner_layer(plugin, settings_of(plugin), pool, values)


def _random(shape: tuple[int, ...], name: str) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(1, name))


def _inputs(site: Site) -> tuple[Tensor, Tensor]:
    """Return a site's ``x``, (N, input), and ``y``, (N, output)."""
    return _random((_ROWS, site.input), "x"), _random((_ROWS, site.output), "y")


def _lanes_inputs(site: Site, lanes: int) -> tuple[Tensor, Tensor]:
    """Return ``x``, (K, N, input), and ``y``, (K, N, output), other ones for each lane."""
    return _random((lanes, _ROWS, site.input), "xs"), _random((lanes, _ROWS, site.output), "ys")


def _labels(problem_type: ProblemType, rows: int, outputs: int) -> Tensor:
    if problem_type is ProblemType.REGRESSION:
        return torch.linspace(-1, 1, rows, dtype=torch.float64)
    if problem_type is ProblemType.MULTI_LABEL:
        return torch.eye(rows, outputs, dtype=torch.float64)
    if problem_type is ProblemType.MULTIPLE_CHOICE:
        return torch.tensor([0, 1])  # two examples of two choices
    return torch.arange(rows) % outputs


def _random_tensors(plugin: Combiner, layer: CombinerLayer, seed: int = 0) -> Tensors:
    """Return every tensor the combiner works with, the trainable ones random."""
    sources = layer.pool.sources
    tensors = {
        name: _random(tuple(one.shape), f"{name} {seed}" if seed else name)
        for name, one in layer.initial(stream(0, "contract")).items()
    }
    if plugin.models(settings_of(plugin)) or plugin.reads_rows:
        tensors["omega"] = torch.full((1, sources, 1), 1 / sources, dtype=torch.float64)
    elif layer.needs_context:
        names = (*(f"suite/task_{number}" for number in range(sources - 1)), "suite/target")
        method = _Factored(layer.pool)
        adapters = [method.random(number) for number in range(sources)]
        fixed = layer.fixed(PoolContext(names, "suite/target", method=method, adapters=adapters))
        tensors |= {name: one.double() for name, one in fixed.items()}
    return tensors


class _Factored(MethodLayer):
    """Adapters of two factors at any points, for combiners that look at a pool's adapters before training."""

    def __init__(self, pool: PoolShape) -> None:
        shape = BackboneShape(layers=pool.layers, hidden_size=_WIDE, sites=pool.sites)
        super().__init__(shape, [site.name for site in pool.sites])

    def products(self) -> tuple[tuple[str, str], ...]:
        return tuple((f"{layer}.{site}.up", f"{layer}.{site}.down") for site, layer in self.points)

    def random(self, seed: int) -> Tensors:
        """Return one adapter."""
        found: Tensors = {}
        for (site, _), (up, down) in zip(self.points, self.products(), strict=True):
            at = self.shape.site(site)
            found |= {
                up: _random((at.output, 4), f"{up} {seed}"),
                down: _random((4, at.input), f"{down} {seed}"),
            }
        return found

    def initial(self, generator: torch.Generator) -> Tensors:
        raise NotImplementedError

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError


def _forward(
    layer: CombinerLayer,
    tensors: Tensors,
    point: int,
    *,
    generator: torch.Generator | None = None,
    observe: Callable[[Tensor], None] | None = None,
) -> Tensor:
    pool, h = _random_pool(layer, point)
    x = _random((_ROWS, layer.pool.points[point].input), "x")
    return layer.forward(tensors, point, pool, x, h, generator=generator, observe=observe)


def _trained_with(plugin: Combiner, values: Mapping[str, float]) -> Tensor:
    """Return the numbers that a dimension can change: the start, one step's output and the penalty."""
    layer = _layer(plugin, POOL, values)
    tensors = _random_tensors(plugin, layer)
    start = [one.double().flatten() for one in layer.initial(stream(0, "contract")).values()]
    penalty = layer.penalty(tensors)
    if layer.averages:
        method, merged = _mergers(plugin, values)[0]
        start += [one.flatten() for one in merged(adapters_of(method, 3)).values()]
    step = _forward(layer, tensors, 0, generator=stream(2, "dropout"))
    return torch.cat([*start, step.flatten(), *([] if penalty is None else [penalty.reshape(1)])])


def _mergers(
    plugin: Combiner, values: Mapping[str, float] | None = None
) -> list[tuple[MethodLayer, Callable[[list[Tensors]], Tensors]]]:
    """Return how a combiner makes one adapter of three, for each shipped kind of adapter that it takes."""
    found: list[tuple[MethodLayer, Callable[[list[Tensors]], Tensors]]] = []
    for name in ("lora", "pfeiffer"):
        method = entry_points.adapter_method(name)
        settings = method.settings()
        if plugin.misfit(settings_of(plugin), method, [settings], SHAPE):
            continue
        layer = _layer(plugin, method.pool(settings, SHAPE, 3), values)
        fixed, bound = _random_tensors(plugin, layer), method.layer(settings, SHAPE)
        found.append((bound, partial(_merge, layer, fixed, bound)))
    assert found, "it takes neither LoRAs nor bottlenecks"
    return found


def _merge(layer: CombinerLayer, fixed: Tensors, method: MethodLayer, adapters: list[Tensors]) -> Tensors:
    return layer.merge(fixed, adapters, method)


def _random_pool(layer: CombinerLayer, point: int) -> tuple[FrozenPool, Tensor]:
    """Return a point's pool, of one adapter where the combiner averages, and inner activations."""
    sources, r = 1 if layer.averages else layer.pool.sources, 4
    width = layer.pool.points[point].output
    up, bias = _random((sources, width, r), "up"), _random((sources, width), "bias")
    return FrozenPool(inner={}, up=up, bias=bias), _random((_ROWS, sources * r), "h")


def _outputs(pool: FrozenPool, h: Tensor) -> Tensor:
    """Return each source's own output, (N, T, e)."""
    parts = h.view(len(h), pool.up.shape[0], -1)
    return torch.einsum("ntr,ter->nte", parts, pool.up) + pool.bias


def _batch(backbone: Backbone) -> Pass:
    """Return two lanes' rectangles of sequences of different lengths."""
    rectangles = []
    for seed, lengths in enumerate(((3, 5), (4, 2, 6))):
        ids = torch.randint(1, 8, (sum(lengths),), generator=stream(seed, "ids")).numpy().astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        examples = Examples(ids, np.zeros_like(ids), offsets, np.zeros(len(lengths), dtype=np.int64))
        rectangles.append(gather(examples, np.arange(len(lengths))).to(backbone.device))
    return Pass(tuple(rectangles))


class _Adds:
    """A hook that adds a constant at one site, and notes where it was called."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.layers: list[int] = []

    @property
    def sites(self) -> frozenset[str]:
        return frozenset((self.site.name,))

    def __call__(self, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        assert site == self.site.name
        assert x.shape[1] == self.site.input
        assert y.shape[1] == self.site.output
        self.layers.append(layer)
        return torch.randn(y.shape, dtype=y.dtype, generator=stream(layer, site))
