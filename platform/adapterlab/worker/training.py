"""The one training loop of a worker: runs of any kind, as many side by side as make it faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from adapterlab.records import EpochResult, LaneResult
from adapterlab.train.lane import Lane
from adapterlab.train.loop import train_lanes
from adapterlab.worker.worker import Worker


class Run(Protocol):
    """One run in training: a source adapter, a trial, or a final run."""

    @property
    def lane(self) -> Lane:
        """What is trained; its name is no other run's beside it."""

    def epoch(self, result: EpochResult) -> bool:
        """Take note of an epoch; return whether to go on."""

    def end(self, result: LaneResult) -> None:
        """Keep what remains of it."""


def train_runs(worker: Worker, next_run: Callable[[], Run | None]) -> dict[str, int]:
    """Train runs until there are no more, each published or told as it ends.

    Args:
        worker: Where it happens.
        next_run: Gives a run for a free place, or ``None`` when there is none right now; asked again
            whenever a place is free. A run whose lane has had its epochs is only evaluated.

    Returns:
        Number of runs by the state their lanes ended in.

    Raises:
        CancelledError: The sweep is to stop.
    """
    training: dict[str, Run] = {}
    counts: dict[str, int] = {}

    def next_lane() -> Lane | None:
        run = next_run()
        if run is None:
            return None
        training[run.lane.name] = run
        return run.lane

    def on_epoch(lane: Lane, epoch: EpochResult) -> bool:
        return training[lane.name].epoch(epoch)

    for result in train_lanes(
        worker.backbone,
        next_lane,
        capacity=worker.capacity,
        on_epoch=on_epoch,
        on_pass=worker.check_cancelled,
    ):
        run = training.pop(result.name)
        counts[result.state] = counts.get(result.state, 0) + 1
        run.end(result)
        worker.end(result.name)
    return counts
