"""The loop: many lanes, one frozen backbone, one pass a step.

while lanes are left:
    fill free places with new lanes
    one pass: forward over all lanes, one backward, one AdamW step a lane
    lanes whose epoch ended: evaluate them together, report, keep the best weights
    lanes that are finished, pruned or diverged leave; their places are filled again
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from adapterlab.errors import TrainingError
from adapterlab.records import EpochResult, LaneResult, State
from adapterlab.train.adaptation import Adaptation, Seat, read_states
from adapterlab.train.capacity import Capacity, is_out_of_memory
from adapterlab.train.combination import Combination
from adapterlab.train.evaluate import evaluate
from adapterlab.train.finite import rows_without_answer, told
from adapterlab.train.freed_memory import SPARE
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone
from adapterlab.train.passes import Rectangle

OnEpoch = Callable[[Lane, EpochResult], bool]
"""Called after each epoch of a lane; ``False`` prunes it."""


def train_lanes(
    backbone: Backbone,
    next_lane: Callable[[], Lane | None],
    *,
    capacity: Capacity | int,
    on_epoch: OnEpoch,
) -> Iterator[LaneResult]:
    """Train lanes until there are no more, yielding each one's result when it leaves.

    Args:
        backbone: The shared frozen backbone.
        next_lane: Gives a lane for a free place, or ``None`` when there is none right now; asked
            again whenever a place is free. A lane that has had its epochs already is not trained:
            its result comes at once, with the test split if it sees that.
        capacity: Most lanes in one pass, >= 1, or what finds it.
        on_epoch: Told of every epoch of every lane; its answer prunes.

    Yields:
        Results in the order lanes end: complete, pruned, or failed with a reason.

    Raises:
        TrainingError: A single lane's step does not fit into memory.
    """
    shared = Capacity(capacity) if isinstance(capacity, int) else capacity
    active: list[Lane] = []
    started: dict[Lane, float] = {}
    while True:
        while _has_place(active, shared.lanes) and (lane := next_lane()) is not None:
            active.append(lane)
            started[lane] = time.monotonic()
        if not active:
            return
        if arrived := [lane for lane in active if lane.finished]:
            active = _without(arrived, active, started)
            yield from _results(backbone, arrived, set())
            continue
        active.sort(key=lambda lane: lane.adaptation.group)  # groups side by side; stable
        with _shared_time(active):
            train_step(backbone, active, shared)
        SPARE.give_back()

        ended = [lane for lane in active if lane.reason is None and lane.epoch_ended]
        pruned = _close_epochs(backbone, ended, started, on_epoch)
        leaving = [
            lane for lane in active if lane in pruned or lane.reason or (lane in ended and lane.finished)
        ]
        active = _without(leaving, active, started)
        yield from _results(backbone, leaving, pruned)


def _has_place(active: Sequence[Lane], capacity: int) -> bool:
    """Return whether a lane may join; one that trains the backbone's own weights is the last to join.

    It holds the whole backbone several times over (weights, gradients, moments), so there is never
    more than one of them.
    """
    return len(active) < capacity and not any(lane.adaptation.exclusive for lane in active)


def _without(leaving: Sequence[Lane], active: Sequence[Lane], started: dict[Lane, float]) -> list[Lane]:
    """Return the lanes that stay, and forget when those that leave began."""
    for lane in leaving:
        del started[lane]
    return [lane for lane in active if lane not in leaving]


@contextmanager
def _shared_time(lanes: Sequence[Lane]) -> Iterator[None]:
    """Charge the time of a block to the lanes that share it, in equal parts."""
    start = time.monotonic()
    yield
    for lane in lanes:
        lane.seconds += (time.monotonic() - start) / len(lanes)


def _close_epochs(
    backbone: Backbone, ended: Sequence[Lane], started: dict[Lane, float], on_epoch: OnEpoch
) -> set[Lane]:
    """Evaluate lanes whose epoch ended, tell the caller, and return those it prunes."""
    if not ended:
        return set()
    with _shared_time(ended):
        evaluations = evaluate(
            backbone,
            [Seat(lane.adaptation, lane.tensors, lane.head) for lane in ended],
            [lane.task.validation for lane in ended],
            [lane.task.facts for lane in ended],
        )
    pruned: set[Lane] = set()
    for lane, evaluation in zip(ended, evaluations, strict=True):
        now = time.monotonic()
        result = lane.close_epoch(evaluation.loss, evaluation.metrics, now - started[lane])
        started[lane] = now
        if not on_epoch(lane, result) and not lane.finished:
            pruned.add(lane)
    return pruned


def _results(backbone: Backbone, leaving: Sequence[Lane], pruned: set[Lane]) -> Iterator[LaneResult]:
    """Yield the results of lanes that leave; final runs see the test split here, once."""
    complete = [lane for lane in leaving if lane.reason is None and lane not in pruned]
    for lane in leaving:
        if lane not in complete:
            yield lane.result(State.PRUNED if lane in pruned else State.FAILED)
    tested = [lane for lane in complete if lane.sees_test]
    watching = {lane: _watched(lane.adaptation) for lane in tested}
    evaluations = evaluate(
        backbone,
        [Seat(watching[lane], lane.best_tensors, lane.head) for lane in tested],
        [lane.task.test for lane in tested],
        [lane.task.facts for lane in tested],
    )
    scores = dict(zip(tested, evaluations, strict=True))
    for lane in complete:
        bad = rows_without_answer(scores[lane].outputs) if lane in scores else []
        if bad:
            yield lane.result(State.FAILED, reason=f"test split: {told(bad)}")
            continue
        result = lane.result(State.COMPLETE)
        if lane in scores:
            seen = watching[lane].means
            result = replace(
                result,
                test_metrics=scores[lane].metrics,
                test_outputs=scores[lane].outputs,
                mean_coefficients=None if seen is None else seen.values,
            )
        yield result


def _watched(adaptation: Adaptation) -> Adaptation:
    """Return an adaptation that collects the coefficients it has token by token, if it has such."""
    if isinstance(adaptation, Combination) and adaptation.token_dependent:
        return adaptation.watched()
    return adaptation


def train_step(backbone: Backbone, lanes: Sequence[Lane], capacity: Capacity | None = None) -> None:
    """Advance every lane by one step with one forward and one backward pass.

    A pass that does not fit into memory is done again in two halves; the lanes' random numbers are put
    back first, so that nothing of it shows in their results.

    Args:
        backbone: The shared frozen backbone.
        lanes: Those to advance, of equal group side by side.
        capacity: Told how fast it was, and when memory ran out.

    Raises:
        TrainingError: A single lane's step does not fit into memory.
    """
    rectangles = [lane.next_rectangle() for lane in lanes]
    start = time.monotonic()
    _advance(backbone, lanes, rectangles, capacity or Capacity(len(lanes)))
    if capacity is not None:
        capacity.observe(len(lanes), sum(one.tokens for one in rectangles), time.monotonic() - start)


def _advance(
    backbone: Backbone, lanes: Sequence[Lane], rectangles: Sequence[Rectangle], capacity: Capacity
) -> None:
    numbers = [lane.random_state() for lane in lanes]
    try:
        losses = _backward(backbone, lanes, rectangles)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error)
    else:
        for lane, loss in zip(lanes, losses, strict=True):
            lane.update(loss)
        return
    # Outside of the handler: the error's traceback, which holds the pass's tensors, is gone here.
    for lane, state in zip(lanes, numbers, strict=True):
        lane.retry_step(state)
    if len(lanes) == 1:
        raise TrainingError(
            f"{lanes[0].name}: one step of {len(rectangles[0].token_ids)} sequences does not fit into memory: "
            f"{reason}",
            remedy="Lower batch_size or data.max_length, or give the worker more memory.",
        )
    capacity.ran_out(len(lanes))
    half = len(lanes) // 2
    _advance(backbone, lanes[:half], rectangles[:half], capacity)
    _advance(backbone, lanes[half:], rectangles[half:], capacity)


def _backward(
    backbone: Backbone, lanes: Sequence[Lane], rectangles: Sequence[Rectangle]
) -> list[torch.Tensor]:
    """Make every lane's gradients and return the lanes' losses."""
    states = read_states(backbone, [lane.seat() for lane in lanes], rectangles)
    losses = [lane.loss(read, one) for lane, read, one in zip(lanes, states, rectangles, strict=True)]
    # Lanes share no parameter, so the gradient of the sum is each lane's own gradient.
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    return [loss.detach() for loss in losses]
