"""Contract tests of a plug-in's torch side: inherit a case class, set ``plugin``, run pytest.

class TestMyMethod(MethodLayerContract):
    plugin = MY_METHOD
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch

from adapterlab.registry import entry_points
from adapterlab.registry.contracts import SHAPE
from adapterlab.registry.protocols import AdapterMethod, Combiner, Expands, ReadsModels
from adapterlab.train.adaptation import trains_backbone
from adapterlab.train.fold import fold
from adapterlab.train.layers import (
    MEAN_COEFFICIENTS,
    AveragingLayer,
    CombinerLayer,
    FixedLayer,
    FrozenPool,
    MethodLayer,
    PoolContext,
    Tensors,
)
from adapterlab.train.rng import stream

_ROWS = 5
_TOLERANCE = 1e-12


class MethodLayerContract:
    """What the engine relies on in an adapter method."""

    plugin: AdapterMethod

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes; the backbone's own weights it does not make."""
        if self.plugin.exclusive:
            return
        settings = self.plugin.settings()
        tensors = _layer(self.plugin).initial(settings, SHAPE, stream(0, "contract"))
        assert sum(one.numel() for one in tensors.values()) == self.plugin.trainable_parameters(
            settings, SHAPE
        )

    def test_the_same_seed_gives_the_same_tensors(self) -> None:
        """Initialisation draws from the given generator only."""
        settings = self.plugin.settings()
        one, two = (_layer(self.plugin).initial(settings, SHAPE, stream(3, "contract")) for _ in range(2))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_both_sides_name_the_same_sites(self) -> None:
        """Plans count attachment points by the light side, the engine attaches by the torch side."""
        settings, layer = self.plugin.settings(), _layer(self.plugin)
        assert layer.sites(settings) == self.plugin.sites(settings)
        assert trains_backbone(layer) == self.plugin.exclusive
        assert hasattr(layer, "stack") == self.plugin.combinable

    def test_gradients_reach_every_tensor(self) -> None:
        """No tensor is left out of what an adapter computes."""
        settings, layer = self.plugin.settings(), _layer(self.plugin)
        (adapter,) = adapters_of(self.plugin, 1)
        leaves = {name: tensor.requires_grad_() for name, tensor in adapter.items()}
        total = torch.zeros((), dtype=torch.float64)
        for site, index in _points(layer, settings):
            width = SHAPE.intermediate_size if site == "ffn.up" else SHAPE.hidden_size
            x = torch.randn(_ROWS, SHAPE.hidden_size, dtype=torch.float64, generator=stream(1, "x"))
            y = torch.randn(_ROWS, width, dtype=torch.float64, generator=stream(1, "y"))
            u = layer.forward(settings, leaves, site, index, x, y)
            assert u.shape == y.shape
            total = total + u.sum()
        if leaves:
            total.backward()  # type: ignore[no-untyped-call]
        assert all(tensor.grad is not None and bool(tensor.grad.any()) for tensor in leaves.values())

    def test_a_stack_holds_each_adapter_unchanged(self) -> None:
        """``up[t] h_t + bias[t]`` of the stack is the adapter's own output, for every t and point."""
        settings, layer = self.plugin.settings(), _layer(self.plugin)
        if not self.plugin.combinable:
            return
        pool = adapters_of(self.plugin, 3)
        x = torch.randn(_ROWS, SHAPE.hidden_size, dtype=torch.float64, generator=stream(1, "x"))
        for site, index in _points(layer, settings):
            stacked = layer.stack(settings, pool, site, index)
            h = layer.inner(settings, stacked, x).view(_ROWS, len(pool), -1)
            for t, adapter in enumerate(pool):
                folded = h[:, t] @ stacked.up[t].T + stacked.bias[t]
                alone = layer.forward(settings, adapter, site, index, x, x)
                torch.testing.assert_close(folded, alone, rtol=_TOLERANCE, atol=_TOLERANCE)

    def test_a_folded_pool_is_one_adapter(self) -> None:
        """A method that folds: one adapter, of the method it names, computes ``Σ_t ω_t ⊙ u_t``."""
        settings, layer = self.plugin.settings(), _layer(self.plugin)
        folds_into = self.plugin.folds_into(settings)
        assert hasattr(layer, "fold") == (folds_into is not None)
        if folds_into is None:
            return
        plain, its_settings = entry_points.adapter_method(folds_into[0]).layer(), folds_into[1]
        pool = adapters_of(self.plugin, 3)
        points = _points(layer, settings)
        omega = torch.randn(len(points), 3, SHAPE.hidden_size, dtype=torch.float64, generator=stream(2, "o"))
        folded = fold(layer, settings, pool, omega, SHAPE).tensors
        x = torch.randn(_ROWS, SHAPE.hidden_size, dtype=torch.float64, generator=stream(1, "x"))
        for point, (site, index) in enumerate(points):
            apart = [layer.forward(settings, adapter, site, index, x, x) for adapter in pool]
            wanted = (omega[point] * torch.stack(apart, 1)).sum(1)
            got = plain.forward(its_settings, folded, site, index, x, x)
            torch.testing.assert_close(got, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)


class CombinerLayerContract:
    """What the engine relies on in a combiner; has cases of its own for each kind of coefficients.

    A combiner that reads other models takes its fixed coefficients from equal shares here.
    """

    plugin: Combiner

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes."""
        settings = settings_of(self.plugin)
        wanted = self.plugin.trainable_parameters(settings, SHAPE, 3)
        assert sum(one.numel() for one in _initial(self.plugin, 3).values()) == wanted

    def test_the_same_seed_gives_the_same_tensors(self) -> None:
        """Initialisation draws from the given generator only."""
        one, two = (_initial(self.plugin, 3) for _ in range(2))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_evaluation_draws_no_dropout(self) -> None:
        """Without a generator the dropout probability has no effect."""
        tensors = _random_tensors(self.plugin, 2)
        plain = _forward(self.plugin, tensors, 2, 0, dropout=0.0)
        assert torch.equal(plain, _forward(self.plugin, tensors, 2, 0, dropout=0.9))

    def test_folded_equals_unfolded(self) -> None:
        """The output is ``Σ_t ω_t ⊙ (up[t] h_t + bias[t])`` with the coefficients it reports."""
        averages = isinstance(self.plugin.layer(), AveragingLayer)
        if self.plugin.token_dependent or averages:
            return
        for sources in (1, 2, 5):
            pool, h = _random_pool(sources)
            tensors = _random_tensors(self.plugin, sources)
            omega = self.plugin.layer().coefficients(settings_of(self.plugin), tensors)
            assert tuple(omega.shape) == self.plugin.coefficient_shape(SHAPE, sources)
            outputs = _outputs(pool, h)
            for point in range(SHAPE.layers):
                got = _forward(self.plugin, tensors, sources, point)
                weights = omega[point if omega.shape[0] > 1 else 0]
                torch.testing.assert_close(got, (weights * outputs).sum(1), rtol=1e-12, atol=_TOLERANCE)

    def test_token_dependent_coefficients_are_observed(self) -> None:
        """Coefficients that differ by token are handed to ``observe``, (N, T), one sum a token."""
        if not self.plugin.token_dependent:
            return
        for sources in (1, 3):
            seen: list[torch.Tensor] = []
            tensors = _random_tensors(self.plugin, sources)
            plain = _forward(self.plugin, tensors, sources, 0)
            watched = _forward(self.plugin, tensors, sources, 0, observe=seen.append)
            assert torch.equal(plain, watched)
            (one,) = seen
            assert one.shape == (_ROWS, sources)
            means = one.mean(0)[None, :, None].expand(SHAPE.layers, -1, -1)
            reported = self.plugin.layer().coefficients(
                settings_of(self.plugin), {**tensors, MEAN_COEFFICIENTS: means}
            )
            assert torch.equal(reported, means)
            assert tuple(reported.shape) == self.plugin.coefficient_shape(SHAPE, sources)

    def test_one_adapter_made_of_equal_ones_is_that_adapter(self) -> None:
        """A combiner that averages parameters leaves equal adapters as they are."""
        layer = self.plugin.layer()
        if not isinstance(layer, AveragingLayer):
            return
        adapter = {"up": torch.randn(4, 3, dtype=torch.float64, generator=stream(0, "adapter"))}
        reduced = layer.reduce(settings_of(self.plugin), _random_tensors(self.plugin, 3), [adapter] * 3)
        torch.testing.assert_close(reduced["up"], adapter["up"], rtol=1e-12, atol=_TOLERANCE)


def settings_of(plugin: Combiner) -> Any:
    """Return a combiner's default settings; of a grid its first point's."""
    settings = plugin.settings()
    return plugin.points(settings)[0][1] if isinstance(plugin, Expands) else settings


def _initial(plugin: Combiner, sources: int) -> Tensors:
    layer = cast("CombinerLayer", plugin.layer())
    size = plugin.coefficient_shape(SHAPE, sources)
    return layer.initial(settings_of(plugin), size, SHAPE.hidden_size, 2.0, stream(0, "contract"))


def _random_tensors(plugin: Combiner, sources: int) -> Tensors:
    """Return every tensor the combiner works with, the trainable ones random."""
    layer, size = plugin.layer(), plugin.coefficient_shape(SHAPE, sources)
    tensors = {
        name: torch.randn(one.shape, dtype=torch.float64, generator=stream(sources, name))
        for name, one in _initial(plugin, sources).items()
    }
    if isinstance(plugin, ReadsModels):
        tensors["omega"] = torch.full(size, 1 / sources, dtype=torch.float64)
    elif isinstance(layer, FixedLayer):
        names = (*(f"suite/task_{number}" for number in range(sources - 1)), "suite/target")
        fixed = layer.fixed(settings_of(plugin), size, PoolContext(names, "suite/target"))
        tensors |= {name: one.double() for name, one in fixed.items()}
    return tensors


def _forward(
    plugin: Combiner,
    tensors: Tensors,
    sources: int,
    point: int,
    *,
    dropout: float = 0.0,
    observe: Callable[[torch.Tensor], None] | None = None,
) -> torch.Tensor:
    layer = cast("CombinerLayer", plugin.layer())
    pool, h = _random_pool(1 if isinstance(layer, AveragingLayer) else sources)
    x = torch.randn(_ROWS, SHAPE.hidden_size, dtype=torch.float64, generator=stream(1, "x"))
    return layer.forward(
        settings_of(plugin), tensors, point, pool, x, h, dropout=dropout, generator=None, observe=observe
    )


def _outputs(pool: FrozenPool, h: torch.Tensor) -> torch.Tensor:
    """Return each source's own output, (N, T, d)."""
    parts = h.view(len(h), pool.up.shape[0], -1)
    return torch.einsum("ntr,tdr->ntd", parts, pool.up) + pool.bias


def adapters_of(plugin: AdapterMethod, count: int) -> list[Tensors]:
    """Return adapters of a method with every tensor random, biases too, in float64."""
    settings, layer = plugin.settings(), _layer(plugin)
    return [
        {
            name: torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, name))
            for name, one in layer.initial(settings, SHAPE, stream(seed, "contract")).items()
        }
        for seed in range(count)
    ]


def _random_pool(sources: int) -> tuple[FrozenPool, torch.Tensor]:
    r, d, generator = 4, SHAPE.hidden_size, stream(sources, "pool")
    up = torch.randn(sources, d, r, dtype=torch.float64, generator=generator)
    bias = torch.randn(sources, d, dtype=torch.float64, generator=generator)
    h = torch.randn(_ROWS, sources * r, dtype=torch.float64, generator=generator)
    return FrozenPool(inner={}, up=up, bias=bias), h


def _points(layer: MethodLayer, settings: Any) -> list[tuple[str, int]]:
    return [(site, index) for index in range(SHAPE.layers) for site in layer.sites(settings)]


def _layer(plugin: AdapterMethod | Combiner) -> Any:
    return cast("MethodLayer", plugin.layer())
