"""Steps of which a few are in flight come to what they come to one by one; as on a GPU, on CPU tensors."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from adapterlab.errors import TrainingError
from adapterlab.records import JointSettings, State, TrainSettings
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train import evaluate as evaluation
from adapterlab.train import step as module
from adapterlab.train.capacity import Capacity
from adapterlab.train.evaluate import evaluate
from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.joint.loop import train_joint_runs
from adapterlab.train.joint.run import JointRun
from adapterlab.train.lane import Lane, source_lane
from adapterlab.train.loop import train_lanes
from adapterlab.train.predict import outputs
from adapterlab.train.step import AHEAD, Steps
from adapterlab_joint.plugin import ADAPTER_M
from tiny_models import random_choice_task, random_encoder, random_label_task, random_task
from waits import waits

ENCODER = random_encoder(layers=2, d=16, dropout=0.1)
SETTINGS = TrainSettings(lr=5e-3, max_epochs=2, patience=2, batch_size=3)
TASKS = [
    random_task("suite/two", rows=20, n_labels=2, seed=0),
    random_task("suite/number", rows=8, n_labels=1, seed=3),
    random_label_task(rows=12, seed=6),
    random_choice_task(rows=9, seed=9),
]
LEAP = replace(SETTINGS, lr=1e200, warmup_ratio=0.0)
"""A rate with which the second step has no finite loss any more."""


def lane_of(seed=0, settings=SETTINGS, task=None):
    method = adapter_method("pfeiffer")
    layer = method.layer(method.settings(reduction_factor=4), ENCODER.shape)
    task = task or random_task(rows=24, seed=seed)
    return source_lane(ENCODER, layer, task, settings, seed=seed, name=str(seed))


def trained(lanes, *, capacity=8, on_pass=lambda: None):
    waiting = list(lanes)
    results = train_lanes(
        ENCODER,
        lambda: waiting.pop(0) if waiting else None,
        capacity=capacity,
        on_epoch=lambda *_: True,
        on_pass=on_pass,
    )
    return {result.name: result for result in results}


def joint_run(steps=12, seed=0, lr=5e-3):
    settings = JointSettings(
        lr=lr, steps=steps, evaluate_every=6, patience=10, batch_size=4, warmup_ratio=0.0
    )
    layer = ADAPTER_M.layer(
        ADAPTER_M.settings(reduction_factor=4), ENCODER.shape, [one.facts.task for one in TASKS]
    )
    return JointRun(ENCODER, layer, TASKS, settings, seed=seed, name=f"joint {seed}")


@contextmanager
def one_by_one():
    """As on a GPU, where the same numbers are drawn, but each step read on the host before the next."""
    with pytest.MonkeyPatch.context() as patch, as_on_a_gpu():
        patch.setattr(module, "AHEAD", 0)
        yield


def trained_joint(runs, on_pass=lambda: None):
    waiting = iter(runs)
    return dict(
        train_joint_runs(
            lambda: next(waiting, None), capacity=8, on_evaluation=lambda *_: True, on_pass=on_pass
        )
    )


@pytest.fixture
def events(monkeypatch):
    """What lanes do, in order: ``batch`` for the next one, ``learn`` when a step's loss is known."""
    seen = []

    def noted(name, what):
        whole = getattr(Lane, name)
        monkeypatch.setattr(Lane, name, lambda *given: (seen.append(what), whole(*given))[1])

    noted("next_step", "batch")
    noted("learn", "learn")
    return seen


def test_on_a_gpu_the_next_batches_are_prepared_while_earlier_steps_are_in_work(events):
    with as_on_a_gpu():
        (result,) = trained([lane_of()]).values()
    steps = 8  # of 24 rows
    assert result.state is State.COMPLETE
    ahead = ["batch"] * AHEAD + ["batch", "learn"] * (steps - AHEAD) + ["learn"] * AHEAD
    assert events == ahead * 2


def test_on_a_cpu_a_step_has_ended_when_the_next_begins(events):
    trained([lane_of()])
    assert events == ["batch", "learn"] * 16


@pytest.mark.parametrize("kind", ["lanes", "joint"])
def test_a_run_that_diverges_in_flight_has_the_record_of_one_that_is_stopped_at_once(kind):
    """The step, the rows, the tensors; and those beside it train on as if nothing had been."""

    def results(way):
        with way():
            if kind == "lanes":
                return trained([lane_of(1), lane_of(2, LEAP), lane_of(3)])
            runs = [joint_run(seed=1), joint_run(seed=2, lr=1e200), joint_run(seed=3)]
            return {result.name: result for result in trained_joint(runs).values()}

    at_once, in_flight = results(one_by_one), results(as_on_a_gpu)
    assert sorted(at_once) == sorted(in_flight)
    states = [one.state for _, one in sorted(in_flight.items())]
    assert states == [State.COMPLETE, State.FAILED, State.COMPLETE]
    for name, wanted in at_once.items():
        got = in_flight[name]
        assert got.state is wanted.state
        assert got.train_rows == wanted.train_rows
        assert (got.reason or "").split(":")[0] == (wanted.reason or "").split(":")[0]
        if wanted.state is State.FAILED:
            assert "diverged in step 2 " in got.reason
            assert all(one.isfinite().all() for one in got.tensors.values())
        else:
            for key, tensor in wanted.tensors.items():
                torch.testing.assert_close(got.tensors[key], tensor, rtol=0, atol=1e-9)


@pytest.mark.parametrize("row", [1, 5, 17])
def test_of_a_run_that_diverged_no_later_step_moves_anything(row):
    """A single label is no number: the loss of its batch is none, and those of later batches are."""
    task = random_task("suite/number", rows=24, n_labels=1, seed=3)
    labels = task.train.labels.copy()
    labels[row] = float("nan")
    task = replace(task, train=replace(task.train, labels=labels))
    with one_by_one():
        (wanted,) = trained([lane_of(task=task)]).values()
    with as_on_a_gpu():
        (got,) = trained([lane_of(task=task)]).values()
    assert got.state is wanted.state is State.FAILED
    assert got.reason == wanted.reason
    assert got.train_rows == wanted.train_rows < 24 * 2
    for name, tensor in wanted.tensors.items():
        torch.testing.assert_close(got.tensors[name], tensor, rtol=0, atol=1e-9)


def test_a_stop_between_two_passes_leaves_a_joint_run_whole():
    """Steps in flight are waited for, so that its checkpoint is of the step it says."""

    class StopError(Exception):
        pass

    with as_on_a_gpu():
        undisturbed = joint_run()
        (whole,) = trained_joint([undisturbed]).values()
        for passes in (1, AHEAD, AHEAD + 3):
            run, left = joint_run(), [passes]

            def stop(left=left):
                left[0] -= 1
                if not left[0]:
                    raise StopError

            with pytest.raises(StopError):
                trained_joint([run], on_pass=stop)
            again = joint_run()
            again.restore(run.checkpoint())
            assert again.step == run.step > 0
            (result,) = trained_joint([again]).values()
            assert result.train_rows == whole.train_rows
            assert [replace(one, seconds=0.0) for one in result.evaluations] == [
                replace(one, seconds=0.0) for one in whole.evaluations
            ]
            assert all(torch.equal(one, again.tensors[name]) for name, one in undisturbed.tensors.items())


def test_losses_of_an_epoch_are_all_there_when_it_ends():
    with one_by_one():
        at_once = trained([lane_of(1), lane_of(2)])
    with as_on_a_gpu():
        in_flight = trained([lane_of(1), lane_of(2)])
    for name, wanted in at_once.items():
        got = [one.train_loss for one in in_flight[name].epochs]
        assert got == pytest.approx([one.train_loss for one in wanted.epochs], abs=1e-9)


# -- what waits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(TASKS)))
@pytest.mark.parametrize("count", [1, 3])
def test_no_problem_type_makes_a_step_or_an_evaluation_wait(number, count):
    task = TASKS[number]
    lanes = [lane_of(seed, task=task) for seed in range(count)]
    with as_on_a_gpu():
        steps = Steps(ENCODER)
        for _ in range(2):
            steps.take(lanes)
        batches = steps.prepared(lanes)
        with waits() as found:
            steps.given(lanes, batches)
            with torch.inference_mode():
                evaluation.answers_that_fit(
                    ENCODER,
                    [replace(lane.seat(), key=None) for lane in lanes],
                    [one.rectangle for one in batches],
                )
        assert not found


def test_no_step_of_a_joint_run_waits():
    runs = [joint_run(seed=seed) for seed in range(3)]
    with as_on_a_gpu():
        steps = Steps(ENCODER)
        for _ in range(8):  # batches of all tasks
            batches = steps.prepared(runs)
            with waits() as found:
                steps.given(runs, batches)
            assert not found


# -- time -----------------------------------------------------------------------------------------


@dataclass
class Card:
    """A card's queue as its host sees it: what it is given takes time there and none here."""

    now: float = 0.0
    """What the host's clock shows."""
    free_at: float = 0.0
    """When the card is done with all it was given."""

    def give(self, seconds):
        self.free_at = max(self.now, self.free_at) + seconds

    def mark(self, _):
        return Moment(self, max(self.now, self.free_at))


@dataclass
class Moment:
    card: Card
    at: float

    def wait(self):
        self.card.now = max(self.card.now, self.at)

    def seconds_since(self, earlier):
        assert self.card.now >= self.at, "not waited for"
        return self.at - earlier.at


@pytest.fixture
def card(monkeypatch):
    """Make a step last as long as a card would take: K lanes 10 + 2 K seconds, of which the host sees nothing."""
    card, whole = Card(), module.gradients_of

    def gradients_of(backbone, steps):
        card.give(10 + 2 * len(steps))
        return whole(backbone, steps)

    monkeypatch.setattr(module, "gradients_of", gradients_of)
    monkeypatch.setattr(module, "mark", card.mark)
    with as_on_a_gpu():
        yield card


def test_what_lanes_are_charged_is_what_the_card_took(card):
    lanes = [lane_of(seed) for seed in range(3)]
    with Steps(ENCODER) as steps:
        for _ in range(6):
            steps.take(lanes[:2])
        card.now += 100.0  # the host is late, and the card waits for it
        steps.take(lanes[:2])
        steps.settle()
        card.now += 50.0  # nothing is in flight: this is nobody's
        steps.take(lanes)
    assert lanes[2].seconds == pytest.approx(16 / 3)
    assert sum(one.seconds for one in lanes) == pytest.approx(card.now - 50.0)


def test_lanes_are_judged_by_the_time_of_the_card_and_not_of_its_launches(card):
    capacity, lanes = Capacity(limit=8), [lane_of(seed) for seed in range(8)]
    told = []
    with Steps(ENCODER, capacity, tell=lambda count, seconds: told.append((count, seconds))) as steps:
        while not capacity.settled:
            steps.take(lanes[: capacity.lanes])
    assert capacity.lanes == 8
    assert {seconds for count, seconds in told if count == 4} == {18.0}
    assert card.now == pytest.approx(sum(seconds for _, seconds in told))


# -- memory ---------------------------------------------------------------------------------------


def test_what_has_not_fitted_once_is_not_tried_again(monkeypatch):
    """Five lanes of which three fit train on in passes of two and three, as does one more that joins."""
    sizes, said, whole = [], [], module.gradients_of

    def gradients_of(backbone, steps):
        sizes.append(len(steps))
        if len(steps) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(backbone, steps)

    monkeypatch.setattr(module, "gradients_of", gradients_of)
    capacity = Capacity(5, say=said.append)
    results = trained([lane_of(seed) for seed in range(5)], capacity=capacity)
    assert [one.state for one in results.values()] == [State.COMPLETE] * 5
    assert said == ["out of memory with 5 lanes in a pass; going on with 2"]
    assert sizes[0] == 5
    assert max(sizes[3:]) <= 2


def test_evaluations_and_predictions_that_do_not_fit_are_done_in_halves_of_lanes_and_of_rows(monkeypatch):
    lanes = [lane_of(seed) for seed in range(3)]
    given = [
        [lane.seat() for lane in lanes],
        [lane.task.validation for lane in lanes],
        [lane.task.facts for lane in lanes],
    ]
    given[0] = [replace(seat, key=None) for seat in given[0]]
    wanted, whole = evaluate(ENCODER, *given), evaluation.read_states

    def read_states(backbone, seats, rectangles):
        if sum(len(one.token_ids) for one in rectangles) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(backbone, seats, rectangles)

    monkeypatch.setattr(evaluation, "read_states", read_states)
    for got, want in zip(evaluate(ENCODER, *given), wanted, strict=True):
        assert got.loss == pytest.approx(want.loss, abs=1e-12)
        assert got.outputs == pytest.approx(want.outputs, abs=1e-12)
    predicted = outputs(ENCODER, given[0][0], given[1][0])
    assert predicted == pytest.approx(wanted[0].outputs, abs=1e-12)


def test_one_example_that_does_not_fit_says_what_to_do(monkeypatch):
    def read_states(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(evaluation, "read_states", read_states)
    lane = lane_of()
    seat = replace(lane.seat(), key=None)
    with pytest.raises(TrainingError, match="an evaluation of 1 sequences") as caught:
        evaluate(ENCODER, [seat], [lane.task.validation], [lane.task.facts])
    assert "data.max_length" in caught.value.remedy
