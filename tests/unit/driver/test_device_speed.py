"""A device's speed is timed once for a backbone, kept, and never in the way of a plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tiny_world
from adapterlab.backbones.facts import backbone_facts
from adapterlab.cluster.gpus import WorkerDevice
from adapterlab.driver.device_speed import seconds_per_row
from adapterlab.spec.load import load_spec

CPU = WorkerDevice(0.0, "CPU (no GPU found)")


@pytest.fixture
def world(tmp_path):
    """A spec on a tiny backbone, what is known of that, and a function that asks for its speed."""
    loaded = load_spec(tiny_world.write_world(tmp_path / "world", trials=1, epochs=1))
    facts = backbone_facts(
        loaded.spec.backbone, folder=loaded.folder, cache=tmp_path / "facts", download=False
    )
    told = []

    def ask(backbone=facts, *, device=CPU, quiet=False):
        tell = None if quiet else told.append
        return seconds_per_row(loaded.spec, backbone, device, tokens=8, cache=tmp_path / "cache", tell=tell)

    return facts, ask, told


def test_it_is_timed_once_and_then_known(world):
    _, ask, told = world
    assert ask(quiet=True) is None
    first = ask()
    assert first > 0
    assert len(told) == 1
    assert ask() == ask(quiet=True) == first
    assert len(told) == 1


def test_another_device_is_another_speed(world):
    facts, ask, _ = world
    ask()
    assert ask(device=WorkerDevice(1.0, "a card"), quiet=True) is None
    assert ask(replace(facts, weights_digest="0" * 64), quiet=True) is None


def test_a_backbone_that_is_not_at_hand_or_broken_has_none(world, tmp_path):
    facts, ask, _ = world
    assert ask(replace(facts, folder=None)) is None
    assert ask(replace(facts, folder=str(tmp_path / "nowhere"), weights_digest="1" * 64)) is None
