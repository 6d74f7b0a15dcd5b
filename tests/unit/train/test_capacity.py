"""Lanes in a pass: found by speed, halved by memory, and in no result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.errors import TrainingError
from adapterlab.records import State, TrainSettings
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.capacity import Capacity, is_out_of_memory
from adapterlab.train.lane import source_lane
from adapterlab.train.loop import train_lanes
from tiny_models import random_encoder, random_task

ENCODER = random_encoder(dropout=0.1)
SETTINGS = TrainSettings(lr=5e-3, max_epochs=2, patience=2, batch_size=6)


def settle(capacity, speed, steps=300):
    """Feed steps of a machine whose tokens a second are ``speed(lanes)``."""
    for _ in range(steps):
        capacity.observe(capacity.lanes, 1000, 1000 / speed(capacity.lanes))
    return capacity.lanes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.floats(1.05, 2.0))
def test_it_grows_up_to_the_knee(knee, gain):
    """Speed grows by ``gain`` with each doubling up to 2**knee lanes, and not beyond."""
    best = 2**knee
    assert settle(Capacity(), lambda lanes: gain ** min(lanes.bit_length() - 1, knee)) == best


@pytest.mark.parametrize("loss", [1.0, 0.5])
def test_where_one_lane_is_fastest_it_stays_at_one(loss):
    assert settle(Capacity(), lambda lanes: 100 * loss ** (lanes - 1)) == 1


def on_a_card(milliseconds):
    """Return the number that is chosen where a lane's step takes so long by the number of lanes, and the seconds."""
    capacity, seconds = Capacity(limit=max(milliseconds)), 0.0
    while not capacity.settled:
        step = capacity.lanes * milliseconds[capacity.lanes] / 1000
        capacity.observe(capacity.lanes, 4096 * capacity.lanes, step)
        seconds += step
    return capacity.lanes, seconds


@pytest.mark.parametrize(
    ("milliseconds", "within"),
    [
        (
            {1: 46.3, 2: 38.0, 4: 30.2, 8: 30.7, 16: 27.5, 32: 31.0, 64: 31.0},
            8.0,
        ),  # eight are no faster than four
        ({1: 36.7, 2: 25.0, 4: 18.0, 8: 16.0, 16: 15.5, 32: 15.5, 64: 15.6}, 9.0),
        ({1: 19.8, 2: 11.0, 4: 6.0, 8: 5.6, 16: 5.4, 32: 4.7, 64: 4.7}, 3.0),
        ({1: 3.0, 2: 3.1, 4: 3.3, 8: 3.2, 16: 3.4, 32: 3.5, 64: 3.6}, 3.0),  # one is the best
    ],
)
def test_the_choice_is_near_the_best_never_slower_than_one_lane_and_made_in_seconds(milliseconds, within):
    """Curves as measured on a card, filled in between, and a made-up one; a number is tried for four steps at least."""
    lanes, seconds = on_a_card(milliseconds)
    assert milliseconds[lanes] <= 1.05 * min(milliseconds.values())
    assert milliseconds[lanes] <= milliseconds[1]
    assert seconds <= within


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.98, 2.0), min_size=6, max_size=6), st.integers(0, 6))
def test_of_speeds_that_grow_ever_less_and_then_fall_the_choice_is_near_the_best(growth, knee):
    """Growth from doubling to doubling as of a machine that fills up."""
    speeds = {1: 1.0}
    for place, gain in enumerate(sorted(growth, reverse=True)):
        speeds[2 << place] = speeds[1 << place] * (gain if place < knee else min(gain, 1.0))
    lanes, _ = on_a_card({count: 10 / speed for count, speed in speeds.items()})
    assert speeds[lanes] >= 0.95 * max(speeds.values())
    assert speeds[lanes] >= speeds[1]


def test_a_slow_step_or_two_do_not_decide():
    capacity = Capacity(limit=2)
    for step in range(40):
        slow = 10 if step % 4 == 1 else 1
        capacity.observe(capacity.lanes, 1000, slow / capacity.lanes)
    assert capacity.lanes == 2


def test_steps_of_fewer_lanes_say_nothing_and_a_given_number_stays():
    capacity = Capacity()
    settle(capacity, lambda lanes: lanes, steps=6)
    assert capacity.lanes == 2
    for _ in range(50):
        capacity.observe(1, 1000, 1e-9)
    assert capacity.lanes == 2
    assert settle(Capacity(3), lambda lanes: lanes) == 3


# -- out of memory --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hungry:
    """An adaptation that cannot be had for more than so many token rows in a pass."""

    inner: Any
    most_rows: int

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def group(self):
        return 0

    def shared(self, site, layer, x):
        if layer == 0 and len(x) > self.most_rows:
            torch.empty(2**60)  # fails as torch fails on a machine that is full
        return self.inner.shared(site, layer, x)


def lanes_of(count, most_rows):
    method = adapter_method("pfeiffer")
    lanes = []
    for seed in range(count):
        lane = source_lane(
            ENCODER,
            method.layer(method.settings(), ENCODER.shape),
            random_task(rows=24),
            SETTINGS,
            seed=seed,
            name=str(seed),
        )
        lane.adaptation = Hungry(lane.adaptation, most_rows)
        lanes.append(lane)
    return lanes


def trained(lanes, capacity):
    waiting = list(lanes)
    results = train_lanes(
        ENCODER, lambda: waiting.pop(0) if waiting else None, capacity=capacity, on_epoch=lambda *_: True
    )
    return {result.name: result for result in results}


def test_a_pass_that_does_not_fit_is_halved_and_nothing_of_it_shows():
    """Dropout is on: the numbers drawn in a failed pass must not be drawn again differently."""
    said = []
    capacity = Capacity(4, say=said.append)
    rows = 100  # two lanes of six rows of up to twelve tokens fit, four do not
    got, wanted = trained(lanes_of(4, rows), capacity), trained(lanes_of(4, 10**9), 1)
    assert capacity.lanes < 4
    assert said[0] == "out of memory with 4 lanes in a pass; going on with 2"
    for name, result in got.items():
        assert result.state is State.COMPLETE
        assert [replace(one, seconds=0) for one in result.epochs] == [
            replace(one, seconds=0, train_loss=pytest.approx(one.train_loss, abs=1e-9),
                    validation_loss=pytest.approx(one.validation_loss, abs=1e-9))
            for one in wanted[name].epochs
        ]  # fmt: skip
        for key, tensor in result.tensors.items():
            torch.testing.assert_close(tensor, wanted[name].tensors[key], rtol=0, atol=1e-9)


def test_a_single_lane_that_does_not_fit_says_what_to_do():
    with pytest.raises(TrainingError, match=r"one step of 6 sequences does not fit into memory") as caught:
        trained(lanes_of(2, 1), Capacity(2, say=lambda _: None))
    assert "batch_size" in caught.value.remedy


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    (lane,) = lanes_of(1, 10**9)
    lane.tensors["layer.0.down.weight"] = torch.zeros(3, 3)
    with pytest.raises(RuntimeError, match="shapes"):
        trained([lane], Capacity(2))


GIB = 1 << 30


@pytest.fixture
def card(monkeypatch):
    """Make torch say that a card has so much free of 80 GiB, and this process so much of it."""

    def has(free, *, reserved=0, peak=0):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free * GIB, 80 * GIB))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: reserved * GIB)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak * GIB)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    return has


@pytest.mark.parametrize(
    ("said", "always"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`", False),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", False),
    ],
)
def test_on_a_card_that_is_nearly_full_the_libraries_errors_are_for_want_of_memory(card, said, always):
    card(free=1)
    assert is_out_of_memory(RuntimeError(said))
    card(free=40)
    assert is_out_of_memory(RuntimeError(said)) is always


@pytest.mark.parametrize("said", ["CUDA error: device-side assert triggered", "shape mismatch"])
def test_other_errors_of_a_full_card_are_what_they_say(card, said):
    card(free=0)
    assert not is_out_of_memory(RuntimeError(said))


def test_what_other_processes_hold_of_a_card_is_not_there_to_be_doubled_into(card):
    """30 GiB at the peak would double into an empty card of 80, and not into half of it."""
    fast = [1.0] * 6
    for free, lanes in ((50, 2), (10, 1)):
        card(free=free, reserved=30, peak=30)
        capacity = Capacity()
        for seconds in fast:
            capacity.observe(1, 1000, seconds)
        assert capacity.lanes == lanes
