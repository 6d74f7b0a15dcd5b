"""A device's speed is timed on real steps, on the numbers of lanes that the engine itself tries."""

from __future__ import annotations

import pytest

from adapterlab.records import TrainSettings
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.capacity import Capacity
from adapterlab.train.speed import fastest, made_up_task
from tiny_models import random_encoder


def timed(method="pfeiffer", **given):
    backbone = random_encoder(vocab=40)
    plugin = adapter_method(method)
    layer = plugin.layer(plugin.settings(), backbone.shape)
    settings = TrainSettings(lr=1e-4, max_epochs=1000, patience=1000, batch_size=4)
    return fastest(backbone, layer, made_up_task(6, 16, vocabulary=40), settings, **given)


def test_a_number_that_was_tried_is_found():
    lanes, seconds = timed(capacity=Capacity(limit=4))
    assert lanes in (1, 2, 4)
    assert seconds > 0


def test_a_fixed_number_is_taken():
    assert timed(capacity=Capacity(3))[0] == 3


@pytest.mark.parametrize("method", ["full"])
def test_what_trains_the_backbone_is_timed_alone(method):
    assert timed(method)[0] == 1
