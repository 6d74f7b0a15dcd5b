"""One step of several runs: one forward and one backward pass, and one call of the optimizer, for all of them.

A run is a lane, or a joint run with its batch of one task; runs have no tensor between them but the frozen ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from adapterlab.errors import TrainingError
from adapterlab.train.adaptation import Seat, cohorts_of, read_states
from adapterlab.train.answers import answers, in_order
from adapterlab.train.capacity import Capacity, in_halves
from adapterlab.train.layers import Backbone, Tensors
from adapterlab.train.optimizer import Update, advance, gradient_norms
from adapterlab.train.passes import Rectangle


@dataclass(frozen=True)
class RunStep:
    """What one run brings to a pass."""

    seat: Seat
    rectangle: Rectangle
    trained: Tensors
    """Leaves that the seat's tensors are, or are made of."""


class TrainedRun(Protocol):
    """A run that takes its steps beside others."""

    name: str
    """Shown in errors."""
    seconds: float
    """Its share of the computing so far."""

    def next_step(self) -> RunStep:
        """Return what it brings to the next pass."""

    def updates(self, loss: float, gradients: Mapping[str, Tensor], norms: Sequence[float]) -> list[Update]:
        """Return what the optimizer does for this step; nothing ends a run that has diverged.

        Args:
            loss: The training loss.
            gradients: Of its tensors.
            norms: Their norms, in their order.
        """


RunT = TypeVar("RunT", bound=TrainedRun)


def nothing() -> None:
    """Do nothing: what is called after a pass where nobody asks for more."""


def take_step(backbone: Backbone, runs: Sequence[RunT], capacity: Capacity | None = None) -> None:
    """Advance every run by one step.

    A pass that does not fit into memory is done again in two halves; a step's random numbers follow from the
    step, and gradients are kept nowhere, so that nothing of it shows in their results.

    Args:
        backbone: The shared frozen backbone.
        runs: Those to advance, those of equal group side by side.
        capacity: Told how fast it was, and when memory ran out.

    Raises:
        TrainingError: A single run's step does not fit into memory.
    """
    members = [(run, run.next_step()) for run in runs]
    start = time.monotonic()
    for part, (losses, gradients) in in_halves(
        members,
        lambda some: gradients_of(backbone, [step for _, step in some]),
        capacity=capacity or Capacity(len(runs)),
        too_large=_too_large,
    ):
        _update([run for run, _ in part], losses, gradients)
    if capacity is not None:
        tokens = sum(step.rectangle.tokens for _, step in members)
        capacity.observe(len(runs), tokens, time.monotonic() - start)


@contextmanager
def shared_time(runs: Sequence[TrainedRun]) -> Iterator[None]:
    """Charge the time of a block to the runs that share it, in equal parts."""
    start = time.monotonic()
    yield
    for run in runs:
        run.seconds += (time.monotonic() - start) / len(runs)


def gradients_of(backbone: Backbone, steps: Sequence[RunStep]) -> tuple[Tensor, list[Tensors]]:
    """Return every run's loss on its rows, (K,), and the gradients of those of its tensors that it depends on.

    Args:
        backbone: The shared frozen backbone.
        steps: Of the runs, those of equal group side by side.
    """
    seats, rectangles = [one.seat for one in steps], [one.rectangle for one in steps]
    cohorts = cohorts_of(seats)
    states = read_states(backbone, seats, rectangles, cohorts)
    found = answers(seats, states, rectangles)
    losses = in_order(found, [one.losses for one in found])
    penalties = [one.penalties for one in cohorts]
    if any(one is not None for one in penalties):
        losses = losses + torch.cat(
            [
                losses.new_zeros(len(cohort.seats)) if one is None else one
                for cohort, one in zip(cohorts, penalties, strict=True)
            ]
        )
    leaves = [
        (run, name, tensor)
        for run, step in enumerate(steps)
        for name, tensor in step.trained.items()
        if tensor.requires_grad
    ]
    # Runs share no trained tensor, so the gradient of the sum is each run's own gradient.
    each = torch.autograd.grad(losses.sum(), [tensor for _, _, tensor in leaves], allow_unused=True)
    gradients: list[Tensors] = [{} for _ in steps]
    for (run, name, _), gradient in zip(leaves, each, strict=True):
        if gradient is not None:
            gradients[run][name] = gradient
    return losses.detach(), gradients


def _update(runs: Sequence[RunT], losses: Tensor, gradients: Sequence[Tensors]) -> None:
    """Take one optimizer step for every run; losses and norms of all runs are read at once."""
    counts = [len(one) for one in gradients]
    norms = gradient_norms([gradient for one in gradients for gradient in one.values()])
    values = iter(torch.cat([losses, norms]).tolist())
    known = list(islice(values, len(runs)))
    advance(
        [
            update
            for run, loss, own, count in zip(runs, known, gradients, counts, strict=True)
            for update in run.updates(loss, own, list(islice(values, count)))
        ]
    )


def _too_large(member: tuple[RunT, RunStep], reason: str) -> TrainingError:
    run, step = member
    return TrainingError(
        f"{run.name}: one step of {len(step.rectangle.token_ids)} sequences does not fit into memory: {reason}",
        remedy="Lower batch_size or data.max_length, or give the worker more memory.",
    )
