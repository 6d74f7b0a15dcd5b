"""Rows kept from before the first adapter: the same numbers, within a budget, and only where they hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapterlab.records import State, TrainSettings
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.adaptation import OwnAdapter, Seat, hidden_states, read_states
from adapterlab.train.lane import source_lane
from adapterlab.train.loop import train_lanes
from adapterlab.train.passes import gather
from adapterlab.train.rng import stream
from adapterlab_encoder.prefix import PrefixCache
from tiny_models import random_encoder, random_examples, random_task

PFEIFFER = adapter_method("pfeiffer")


def seat(encoder, method="pfeiffer", key=None):
    plugin = adapter_method(method)
    layer = plugin.layer(plugin.settings(), encoder.shape)
    tensors = layer.initial(stream(0, "init"))
    tensors = {name: one.double() + 0.05 for name, one in tensors.items()}
    return Seat(OwnAdapter(layer), tensors, None, key, backbone_dropout=True)


def test_rows_that_are_known_are_not_computed_again():
    examples = random_examples(6, 2, seed=1)
    cache, computed = PrefixCache(4, torch.float64, torch.device("cpu")), []

    def compute(rectangle):
        computed.append(rectangle.rows.tolist())
        return rectangle.positions[:, None] * torch.ones(4, dtype=torch.float64)

    for rows in ([0, 1], [2, 3], [1, 2], [4, 0], [0, 4, 3]):
        rectangle = gather(examples, np.array(rows))
        (states,) = cache.rows([rectangle], compute)
        assert states[:, 0].tolist() == rectangle.positions.tolist()
    assert computed == [[0, 1], [2, 3], [4, 0]]


def test_the_least_recently_used_split_makes_room():
    splits = [random_examples(5, 2, seed=seed) for seed in range(3)]
    sizes = [int(one.offsets[-1]) * 4 * 8 for one in splits]
    cache = PrefixCache(4, torch.float64, torch.device("cpu"), budget_bytes=sizes[0] + max(sizes[1:]))
    computed = []

    def compute(rectangle):
        computed.append(next(n for n, one in enumerate(splits) if one is rectangle.examples))
        return torch.zeros(rectangle.tokens, 4, dtype=torch.float64)

    for split in (0, 1, 0, 2, 0, 1):
        cache.rows([gather(splits[split], np.arange(5))], compute)
        assert cache.size_bytes <= sizes[0] + max(sizes[1:])
    assert computed == [0, 1, 2, 1]


def test_a_split_larger_than_the_budget_is_computed_each_time():
    cache, computed = PrefixCache(4, torch.float64, torch.device("cpu"), budget_bytes=8), []
    rectangle = gather(random_examples(3, 2, seed=0), np.arange(3))
    for _ in range(2):
        cache.rows([rectangle], lambda one: computed.append(1) or torch.zeros(one.tokens, 4))
    assert len(computed) == 2
    assert cache.size_bytes == 0


@pytest.mark.parametrize("method", ["pfeiffer", "compacter_pp", "head_only", "lora", "houlsby", "ia3"])
def test_states_are_those_of_an_encoder_that_keeps_nothing(method):
    """Methods that attach before the first feed-forward block's end must not read kept rows."""
    encoder, fresh = random_encoder(), random_encoder()
    examples = random_examples(9, 2, seed=2)
    for rows in ([0, 1, 2, 3, 4, 5, 6, 7, 8], [3, 1], [8, 0, 4]):
        rectangle = gather(examples, np.array(rows))
        given = fresh.rectangle(
            rectangle.token_ids, rectangle.mask, rectangle.type_ids
        )  # rows from outside are never kept
        for states in (read_states, hidden_states):
            got = states(encoder, [seat(encoder, method)], [rectangle])[0]
            wanted = states(fresh, [seat(fresh, method)], [given])[0]
            if states is hidden_states and rectangle.mask is not None:
                wanted = wanted * rectangle.mask[..., None]
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_with_the_backbones_dropout_nothing_is_kept():
    encoder = random_encoder(dropout=0.3)
    rectangle = gather(random_examples(6, 2, seed=1), np.arange(6))
    plain = read_states(encoder, [seat(encoder)], [rectangle])[0]
    one, two = (read_states(encoder, [seat(encoder, key=1)], [rectangle])[0] for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.allclose(one, plain)


def test_training_is_the_same_whether_rows_are_kept_or_not(monkeypatch):
    def trained():
        encoder = random_encoder()
        lanes = [
            source_lane(
                encoder,
                PFEIFFER.layer(PFEIFFER.settings(), encoder.shape),
                random_task(rows=30),
                TrainSettings(lr=5e-3, max_epochs=3, patience=3, batch_size=7, backbone_dropout=False),
                seed=0,
                name="x",
                sees_test=True,
            )
        ]
        (result,) = train_lanes(
            encoder, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
        )
        assert result.state is State.COMPLETE
        return result

    kept = trained()
    monkeypatch.setattr("adapterlab_encoder.prefix.PrefixCache._split_of", lambda *_: None)
    plain = trained()
    for name, tensor in kept.tensors.items():
        torch.testing.assert_close(tensor, plain.tensors[name], rtol=0, atol=1e-11)
    assert kept.test_metrics == plain.test_metrics
