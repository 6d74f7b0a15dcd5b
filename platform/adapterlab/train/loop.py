"""The loop: many lanes, one frozen backbone, one pass a step.

while lanes are left:
    fill free places with new lanes
    one pass: forward over all lanes, one backward, one AdamW step for all of them
    lanes whose epoch ended: evaluate them together, report, keep the best weights
    lanes that are finished, pruned or diverged leave; their places are filled again
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace

from adapterlab.records import EpochResult, LaneResult, State
from adapterlab.train.adaptation import Adaptation, Seat
from adapterlab.train.capacity import Capacity
from adapterlab.train.combination import Combination
from adapterlab.train.evaluate import evaluate
from adapterlab.train.finite import rows_without_answer, told
from adapterlab.train.freed_memory import SPARE
from adapterlab.train.lane import Lane
from adapterlab.train.layers import Backbone
from adapterlab.train.step import Steps, nothing, shared_time
from adapterlab.train.together import head_shapes, lay_together

OnEpoch = Callable[[Lane, EpochResult], bool]
"""Called after each epoch of a lane; ``False`` prunes it."""


def train_lanes(
    backbone: Backbone,
    next_lane: Callable[[], Lane | None],
    *,
    capacity: Capacity | int,
    on_epoch: OnEpoch,
    on_pass: Callable[[], None] = nothing,
) -> Iterator[LaneResult]:
    """Train lanes until there are no more, yielding each one's result when it leaves.

    Args:
        backbone: The shared frozen backbone.
        next_lane: Gives a lane for a free place, or ``None`` when there is none right now; asked
            again whenever a place is free. A lane that has had its epochs already is not trained:
            its result comes at once, with the test split if it sees that.
        capacity: Most lanes in one pass, >= 1, or what finds it.
        on_epoch: Told of every epoch of every lane; its answer prunes.
        on_pass: Called after each pass, of a step or an evaluation; may raise to stop.

    Yields:
        Results in the order lanes end: complete, pruned, or failed with a reason.

    Raises:
        TrainingError: A single lane's step does not fit into memory.
    """
    shared = Capacity(capacity) if isinstance(capacity, int) else capacity
    active: list[Lane] = []
    started: dict[Lane, float] = {}
    with Steps[Lane](backbone, shared) as steps:
        while True:
            staying = len(active)
            while _has_place(active, shared.lanes) and (lane := next_lane()) is not None:
                steps.settle()
                active.append(lane)
                started[lane] = time.monotonic()
            if len(active) > staying:
                active = side_by_side(active)
            if not active:
                return
            if arrived := [lane for lane in active if lane.finished]:
                active = _without(arrived, active, started)
                yield from _results(backbone, arrived, set(), on_pass)
                continue
            take_together(steps, active)
            SPARE.give_back()
            on_pass()

            if any(lane.epoch_ended or lane.reason for lane in active):
                steps.settle()
            ended = [lane for lane in active if lane.reason is None and lane.epoch_ended]
            pruned = _close_epochs(backbone, ended, started, on_epoch, on_pass)
            leaving = [
                lane for lane in active if lane in pruned or lane.reason or (lane in ended and lane.finished)
            ]
            active = _without(leaving, active, started)
            yield from _results(backbone, leaving, pruned, on_pass)


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


def _close_epochs(
    backbone: Backbone,
    ended: Sequence[Lane],
    started: dict[Lane, float],
    on_epoch: OnEpoch,
    on_pass: Callable[[], None],
) -> set[Lane]:
    """Evaluate lanes whose epoch ended, tell the caller, and return those it prunes."""
    if not ended:
        return set()
    with shared_time(ended):
        evaluations = evaluate(
            backbone,
            [Seat(lane.adaptation, lane.tensors, lane.head) for lane in ended],
            [lane.task.validation for lane in ended],
            [lane.task.facts for lane in ended],
            on_pass=on_pass,
        )
    pruned: set[Lane] = set()
    for lane, evaluation in zip(ended, evaluations, strict=True):
        now = time.monotonic()
        result = lane.close_epoch(evaluation.loss, evaluation.metrics, now - started[lane])
        started[lane] = now
        if not on_epoch(lane, result) and not lane.finished:
            pruned.add(lane)
    return pruned


def _results(
    backbone: Backbone, leaving: Sequence[Lane], pruned: set[Lane], on_pass: Callable[[], None]
) -> Iterator[LaneResult]:
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
        on_pass=on_pass,
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


def take_together(steps: Steps[Lane], lanes: Sequence[Lane]) -> None:
    """Advance every lane by one step with one forward and one backward pass.

    Args:
        steps: Of these lanes.
        lanes: Those to advance, as :func:`side_by_side` orders them.

    Raises:
        TrainingError: A single lane's step does not fit into memory.
    """
    _lay_together(lanes)
    steps.take(lanes)


def train_step(backbone: Backbone, lanes: Sequence[Lane], capacity: Capacity | None = None) -> None:
    """Advance every lane by one step, as :func:`take_together` does, and wait for its end.

    Raises:
        TrainingError: A single lane's step does not fit into memory.
    """
    steps: Steps[Lane] = Steps(backbone, capacity)
    take_together(steps, lanes)
    steps.settle()


def side_by_side(lanes: Sequence[Lane]) -> list[Lane]:
    """Return the lanes with those that share work next to each other, otherwise in their order."""
    places: dict[Hashable, int] = {}

    def place(lane: Lane) -> tuple[int, int]:
        group, kin = lane.adaptation.group, lane.seat().kin
        return places.setdefault(group, len(places)), places.setdefault((group, kin), len(places))

    return sorted(lanes, key=place)


def _lay_together(lanes: Sequence[Lane]) -> None:
    """Lay the tensors of lanes that are computed together one after another, where they do not lie so yet."""
    adaptations: dict[Hashable, list[Lane]] = {}
    heads: dict[Hashable, list[Lane]] = {}
    for lane in lanes:
        seat = lane.seat()
        if not seat.joins:
            return
        adaptations.setdefault(seat.kin or id(lane), []).append(lane)
        heads.setdefault(head_shapes(lane.tensors), []).append(lane)
    for members in adaptations.values():
        lay_together(members, head=False)
    for members in heads.values():
        lay_together(members, head=True)
