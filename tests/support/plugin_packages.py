"""Plug-ins as ``pip`` would install them, without an index: a module, and entry points that name its objects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapterlab.registry import entry_points

TEMPERED = '''
import torch
from adapterlab.plugin import Coefficients, Combiner, CombinerLayer, at_point, fresh_omega, omega_rows, scaled_sum


class TemperedLayer(CombinerLayer):
    """A softmax over the sources, at a temperature."""

    def __init__(self, pool, temperature):
        super().__init__(pool)
        self.temperature = temperature

    def initial(self, generator):
        draw = lambda shape: torch.empty(shape).normal_(0, 0.1, generator=generator)
        return fresh_omega(self.pool, draw, per_point=True, per_dimension=False)

    def forward(self, tensors, point, pool, x, h, *, generator, observe=None):
        return scaled_sum(self._weights(at_point(tensors, self.pool, point)), pool, h)

    def coefficients(self, tensors):
        return Coefficients(tuple(self._weights(row.detach()) for row in omega_rows(tensors, self.pool)))

    def _weights(self, omega):
        return torch.softmax(omega / self.temperature, dim=0)


class Tempered(Combiner):
    name = "tempered"
    dimensions = {"lr": 1e-2, "temperature": {"low": 0.1, "high": 10.0, "log": True}}

    def trainable_parameters(self, settings, pool):
        return len(pool.points) * pool.sources

    def layer(self, settings, pool, *, temperature):
        return TemperedLayer(pool, temperature)


TEMPERED = Tempered()
'''
"""A combiner with a search dimension of its own."""
POOLING = '''
import torch
from adapterlab.plugin import Head, HeadLayer, ProblemType, Reads, dropout as drop


class PoolingLayer(HeadLayer):
    """Attends over a sequence's tokens, then one layer."""

    def __init__(self, hidden_size, outputs, problem_type):
        super().__init__(problem_type, Reads.EVERY)
        self.hidden_size, self.n_outputs = hidden_size, outputs

    def initial(self, generator):
        d, count = self.hidden_size, self.n_outputs
        return {
            "head.query": torch.empty(d).normal_(0, 0.1, generator=generator),
            "head.out.weight": torch.empty(count, d).normal_(0, 0.1, generator=generator),
            "head.out.bias": torch.zeros(count),
        }

    def forward(self, tensors, states, lengths, *, dropout, generator):
        weights = [one.softmax(0) for one in (states @ tensors["head.query"]).split(lengths.tolist())]
        parts = zip(weights, states.split(lengths.tolist()))
        pooled = torch.stack([weight @ one for weight, one in parts])
        return torch.nn.functional.linear(
            drop(pooled, dropout, generator), tensors["head.out.weight"], tensors["head.out.bias"]
        )


class Pooling(Head):
    name = "pooling"
    reads = Reads.EVERY
    problem_types = frozenset({ProblemType.CLASSIFICATION, ProblemType.REGRESSION})

    def parameters(self, hidden_size, outputs):
        return hidden_size * (1 + outputs) + outputs

    def layer(self, hidden_size, outputs, problem_type):
        return PoolingLayer(hidden_size, outputs, problem_type)


POOLING = Pooling()
'''
"""A head that reads every token, for classes and numbers."""


def write_package(site: Path, module: str, source: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """Write a package into a folder that will be on the path.

    Args:
        site: The folder.
        module: Name of its one module.
        source: The module's text.
        points: Names of the module's objects, by group and plug-in name.
    """
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [
        line
        for group, named in points.items()
        for line in (f"[{group}]", *(f"{name} = {module}:{target}" for name, target in named.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / f"{module}.py").write_text(source)


def path_with(site: Path) -> str:
    """Return ``PYTHONPATH`` for a process that shall find the packages of a folder."""
    return os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])


@contextmanager
def importable(site: Path) -> Iterator[None]:
    """Let this process find the packages of a folder while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        _forget()
        yield
    _forget()


def _forget() -> None:
    """Look for plug-ins anew: what is installed is asked once per process."""
    for known in (entry_points._installed, entry_points._group, entry_points._load):
        known.cache_clear()
