"""Contract tests of a plug-in's torch side: inherit a case class, set ``plugin``, run pytest.

class TestMyMethod(MethodLayerContract):
    plugin = MY_METHOD
"""

from __future__ import annotations

from typing import Any, cast

import torch

from adapterlab.registry.contracts import SHAPE
from adapterlab.registry.protocols import AdapterMethod, Combiner
from adapterlab.train.fold import fold
from adapterlab.train.protocols import CombinerLayer, FrozenPool, MethodLayer, Tensors
from adapterlab.train.rng import stream

_ROWS = 5
_TOLERANCE = 1e-12


class MethodLayerContract:
    """What the engine relies on in an adapter method."""

    plugin: AdapterMethod

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes."""
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

    def test_a_stack_holds_each_adapter_unchanged(self) -> None:
        """``up[t] h_t + bias[t]`` of the stack is the adapter's own output, for every t and layer."""
        settings, layer = self.plugin.settings(), _layer(self.plugin)
        pool = adapters_of(self.plugin, 3)
        x = torch.randn(_ROWS, SHAPE.hidden_size, dtype=torch.float64, generator=stream(1, "x"))
        for site, index in _points(layer, settings):
            stacked = layer.stack(settings, pool, site, index)
            h = layer.inner(settings, stacked, x).view(_ROWS, len(pool), -1)
            for t, adapter in enumerate(pool):
                folded = h[:, t] @ stacked.up[t].T + stacked.bias[t]
                alone = layer.forward(settings, adapter, site, index, x, x)
                torch.testing.assert_close(folded, alone, rtol=0, atol=_TOLERANCE)

    def test_a_folded_pool_is_one_adapter(self) -> None:
        """A method that folds: one adapter of its own computes ``Σ_t ω_t ⊙ u_t``."""
        settings, layer = self.plugin.settings(), _layer(self.plugin)
        if not hasattr(layer, "fold"):
            return
        pool = adapters_of(self.plugin, 3)
        points = _points(layer, settings)
        omega = torch.randn(len(points), 3, SHAPE.hidden_size, dtype=torch.float64, generator=stream(2, "o"))
        folded = fold(layer, settings, pool, omega, SHAPE).tensors
        x = torch.randn(_ROWS, SHAPE.hidden_size, dtype=torch.float64, generator=stream(1, "x"))
        for point, (site, index) in enumerate(points):
            apart = [layer.forward(settings, adapter, site, index, x, x) for adapter in pool]
            wanted = (omega[point] * torch.stack(apart, 1)).sum(1)
            got = layer.forward(settings, folded, site, index, x, x)
            torch.testing.assert_close(got, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)


class CombinerLayerContract:
    """What the engine relies on in a combiner whose coefficients do not depend on the token."""

    plugin: Combiner

    def test_tensors_are_as_many_as_it_counts(self) -> None:
        """``trainable_parameters`` is what ``initial`` makes."""
        size = self.plugin.coefficient_shape(SHAPE, 3)
        tensors = _layer(self.plugin).initial(size, 2.0, stream(0, "contract"))
        wanted = self.plugin.trainable_parameters(self.plugin.settings(), SHAPE, 3)
        assert sum(one.numel() for one in tensors.values()) == wanted

    def test_folded_equals_unfolded(self) -> None:
        """The output is ``Σ_t ω_t ⊙ (up[t] h_t + bias[t])`` with the coefficients it reports."""
        for sources in (1, 2, 5):
            pool, h = _random_pool(sources)
            layer = cast("CombinerLayer", self.plugin.layer())
            size = self.plugin.coefficient_shape(SHAPE, sources)
            tensors = {
                name: torch.randn(one.shape, dtype=torch.float64, generator=stream(sources, name))
                for name, one in layer.initial(size, 2.0, stream(0, "contract")).items()
            }
            omega = layer.coefficients(tensors)
            assert tuple(omega.shape) == size
            for index in range(SHAPE.layers):
                got = layer.forward(tensors, index, pool, h, h, dropout=0.0, generator=None)
                weights = omega[index if size[0] > 1 else 0]
                parts = h.view(_ROWS, sources, -1)
                outputs = torch.einsum("ntr,tdr->ntd", parts, pool.up) + pool.bias
                torch.testing.assert_close(got, (weights * outputs).sum(1), rtol=0, atol=_TOLERANCE)

    def test_evaluation_draws_no_dropout(self) -> None:
        """Without a generator the dropout probability has no effect."""
        pool, h = _random_pool(2)
        layer = cast("CombinerLayer", self.plugin.layer())
        size = self.plugin.coefficient_shape(SHAPE, 2)
        tensors = {name: one.double() for name, one in layer.initial(size, 2.0, stream(0, "c")).items()}
        plain = layer.forward(tensors, 0, pool, h, h, dropout=0.0, generator=None)
        assert torch.equal(plain, layer.forward(tensors, 0, pool, h, h, dropout=0.9, generator=None))


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
