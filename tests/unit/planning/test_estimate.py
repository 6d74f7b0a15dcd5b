"""Estimates come from past steps where there are any, and say when they are rough or impossible."""

from __future__ import annotations

import pytest

from adapterlab.planning.compile import compile_plan
from adapterlab.planning.estimate import EARLY_STOP, estimate
from adapterlab.records import StepKind
from adapterlab_encoder.config import encoder_shape
from specs import facts, spec

SPEC = spec()
STEPS = compile_plan(SPEC, facts(SPEC)).steps
SHAPE = encoder_shape(6, 384, 1536)


def guess(steps=STEPS, shape=SHAPE, *, workers=1, gpu=False, rate=None, max_length=128):
    return estimate(
        steps, shape, max_length=max_length, workers=workers, gpu=gpu, seconds_per_row=lambda step: rate
    )


def test_measured_rates_are_used_as_they_are():
    sources = [step for step in STEPS if step.kind is StepKind.SOURCE]
    found = guess(sources, rate=0.5)
    assert found.basis == "measured"
    assert found.seconds == pytest.approx(0.5 * sum(step.train_rows for step in sources))


def test_without_past_steps_it_says_that_it_is_rough():
    found = guess()
    assert found.basis == "rough"
    assert found.seconds > 0
    assert guess(workers=2).seconds == pytest.approx(found.seconds / 2)
    assert guess(gpu=True).seconds < found.seconds
    assert guess(max_length=16).seconds < found.seconds


def test_a_device_s_own_speed_comes_before_arithmetic_and_behind_past_steps():
    asked = []

    def speed(tokens):
        asked.append(tokens)
        return 0.25

    def timed(rate=None):
        return estimate(
            STEPS,
            SHAPE,
            max_length=128,
            workers=1,
            gpu=True,
            seconds_per_row=lambda _: rate,
            device_speed=speed,
        )

    found = timed()
    assert found.basis == "calibrated"
    assert set(asked) == {40}
    assert found.seconds == pytest.approx(sum(0.25 * EARLY_STOP[one.kind] * one.train_rows for one in STEPS))
    assert timed(0.5).basis == "measured"


def test_nothing_to_do_takes_no_time():
    assert guess([]).seconds == 0


def test_an_unknown_size_gives_no_number_but_a_reason():
    found = guess(shape=None)
    assert found.seconds is None
    assert "not at hand" in found.basis


def test_device_time_is_that_of_all_steps_however_many_workers_share_them():
    alone, shared = guess(rate=0.5), guess(workers=4, rate=0.5)
    assert shared.device_seconds == alone.device_seconds == alone.seconds == 4 * shared.seconds
    assert set(shared.by_step) == {step.id for step in STEPS}
    assert guess(shape=None).device_seconds is None
