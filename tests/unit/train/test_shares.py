"""A source's share of the output is the length of its term, whatever combiner weighs it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapterlab.registry.entry_points import combiner
from adapterlab.train.combination import Combination, combiner_layer, pool_for
from adapterlab.train.heads import head_of
from adapterlab.train.layers import MEAN_COEFFICIENTS
from adapterlab.train.rng import stream
from adapterlab.train.shares import output_shares
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from tiny_models import random_encoder, random_task

SOURCES = 3
SHAPE = random_encoder().shape
METHOD = PFEIFFER.layer(PfeifferSettings(reduction_factor=4), SHAPE)
POOL = PFEIFFER.pool(PfeifferSettings(reduction_factor=4), SHAPE, SOURCES)
LEARNING = ["scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp", "adapterfusion"]


@pytest.fixture(scope="module")
def task():
    return random_task()


def adapters(scales=(1.0, 1.0, 1.0)):
    """Return three different adapters; ``scales`` multiply their outputs."""
    found = []
    for seed, scale in enumerate(scales):
        tensors = {
            name: torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, name)) * 0.3
            for name, one in METHOD.initial(stream(seed, "adapter")).items()
        }
        found.append({name: one * scale if ".up." in name else one for name, one in tensors.items()})
    return found


def shares(kind, task, pool, learned=None):
    backbone = random_encoder()
    plugin = combiner(kind)
    layer = combiner_layer(plugin, plugin.settings(), POOL, {"dropout": 0.0})
    learned = learned or {
        name: one.double() for name, one in layer.initial(stream(0, "combiner init")).items()
    }
    stacked = pool_for(layer, learned, METHOD, pool, backbone)
    whole = Combination(stacked, layer, token_dependent=plugin.token_dependent)
    points = len(stacked.points)
    coefficients = layer.coefficients({**learned, MEAN_COEFFICIENTS: torch.zeros(points, SOURCES, 1)})
    head = head_of(task.facts, SHAPE.hidden_size)
    return output_shares(backbone, whole, learned, coefficients, head, task.validation)


@pytest.mark.parametrize("kind", LEARNING)
def test_shares_sum_to_one_and_grow_with_a_sources_output(task, kind):
    """Equal coefficients say nothing of a source whose output is three times as long."""
    even = shares(kind, task, adapters())
    tripled = shares(kind, task, adapters((1.0, 3.0, 1.0)))
    assert sum(even) == pytest.approx(1)
    assert sum(tripled) == pytest.approx(1)
    assert tripled[1] > even[1] + 0.1
    assert min(even) > 0


def test_identical_sources_have_the_shares_of_their_coefficients(task):
    omega = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64).reshape(1, 3, 1)
    found = shares("scalearn_uniform_pp", task, [adapters()[0]] * 3, {"omega": omega})
    assert found == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=1e-6)


def test_a_source_of_zeros_has_no_share_and_nothing_has_where_all_are(task):
    found = shares("scalearn_pp", task, adapters((1.0, 0.0, 1.0)))
    assert found[1] == 0
    assert shares("scalearn_pp", task, adapters((0.0, 0.0, 0.0))) == [0, 0, 0]


def test_of_averaged_parameters_it_is_the_share_of_the_weights(task):
    weights = torch.tensor([0.5, 0.0, 0.5]).reshape(1, 3, 1)
    found = shares("adaptersoup", task, adapters(), {"omega": weights})
    assert found == pytest.approx([0.5, 0.0, 0.5])


def test_it_changes_nothing(task):
    """Neither tensors nor random numbers: a run after it is what it would have been."""
    plugin = combiner("scalearn")
    learned = {
        name: one.double()
        for name, one in combiner_layer(plugin, plugin.settings(), POOL, {"dropout": 0.0})
        .initial(stream(0, "combiner init"))
        .items()
    }
    before = {name: one.clone() for name, one in learned.items()}
    state = torch.get_rng_state()
    shares("scalearn", task, adapters(), learned)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(one, before[name]) for name, one in learned.items())


def test_rows_beyond_the_first_few_hundred_are_not_read(task, monkeypatch):
    from adapterlab.train import shares as module

    first = shares("scalearn", replace(task, validation=task.validation.first(3)), adapters())
    monkeypatch.setattr(module, "MOST_EXAMPLES", 3)
    assert shares("scalearn", task, adapters()) == first
